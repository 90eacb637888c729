import { useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { address, call, ofKind, Problem } from '../api/client';
import type { Instance, Resource, ResourceList } from '../api/types';
import { refine, route, to } from '../data/route';
import { allInstances } from '../data/instances';
import { kinds, mode } from '../data/store';
import { t } from '../i18n';
import { Age, Empty, Failed, Server, State, Title, Waiting, word } from '../parts/basic';

interface Found {
  resources: { kind: string; resource: Resource }[];
  like: { kind: string; id: string; instance: number }[];
  instances: Instance[];
  nodes: Instance[];
  problems: Problem[];
}

export function Find() {
  const { query } = route.value;
  const q = query.get('q') ?? '';
  const only = query.get('kind') ?? '';
  const text = useSignal(q);
  const asked = useRef(q);
  const found = useSignal<{ q: string; result?: Found } | undefined>(undefined);
  useEffect(() => {
    if (asked.current !== q) text.value = asked.current = q; // what is typed meanwhile stays
    if (!q) {
      found.value = undefined;
      return undefined;
    }
    let current = true;
    found.value = { q };
    void search(q, only).then((result) => current && (found.value = { q, result }));
    return () => void (current = false);
  }, [q, only]);
  return (
    <>
      <Title>{t('nav.find')}</Title>
      <form
        class="filters"
        role="search"
        onSubmit={(e) => {
          e.preventDefault();
          refine({ q: text.value.trim() });
        }}
      >
        <label class="wide">
          {t('find.what')}
          <input type="search" value={text} maxLength={256} onInput={(e) => (text.value = e.currentTarget.value)} />
        </label>
        <label>
          {t('find.kind')}
          <select value={only} onChange={(e) => refine({ kind: e.currentTarget.value })}>
            <option value="">{t('all')}</option>
            {kinds.value?.map((k) => (
              <option key={k.name} value={k.name}>
                {k.name}
              </option>
            ))}
          </select>
        </label>
        <button type="submit">{t('find.go')}</button>
      </form>
      {mode === 'snapshot' && <p class="dim">{t('find.snapshot')}</p>}
      {!found.value && <Empty>{t('find.hint')}</Empty>}
      {found.value && !found.value.result && <Waiting />}
      {found.value?.result && <Results q={found.value.q} found={found.value.result} />}
    </>
  );
}

/**
 * Looks in every kind for a resource of that id, ids that contain it, an instance, and a node. It asks for lists alone:
 * where there is none of that name, they are empty, and no call fails.
 */
async function search(q: string, only: string): Promise<Found> {
  const found: Found = { resources: [], like: [], instances: [], nodes: [], problems: [] };
  const ask = async (calls: () => Promise<void>) => {
    try {
      await calls();
    } catch (err) {
      if (err instanceof Problem && err.status !== 404) found.problems.push(err);
    }
  };
  const byId = async (kind: string) => {
    const list = await call<ResourceList>(address(ofKind(kind, 'resources'), { id: q, limit: 1 }));
    if (list.items.length === 0) return;
    found.resources.push({ kind, resource: await call<Resource>(address(ofKind(kind, 'resource'), { id: q })) });
  };
  const byPart = async (kind: string) => {
    const list = await call<ResourceList>(address(ofKind(kind, 'resources'), { contains: q, limit: 20 }));
    found.like.push(...list.items.filter((r) => r.id !== q).map((r) => ({ kind, ...r })));
  };
  const among = async (kind: string) => {
    for (const i of await allInstances(kind, q)) (i.node === q ? found.nodes : found.instances).push(i);
  };
  const names = (kinds.peek() ?? []).map((k) => k.name).filter((name) => !only || name === only);
  const resources = mode === 'live' ? [byId, byPart] : []; // a snapshot names none
  const places = /^[A-Za-z0-9.-]+$/.test(q) ? [among] : []; // what pods and nodes may be called
  await Promise.all(names.flatMap((kind) => [...resources, ...places].map((of) => ask(() => of(kind)))));
  return found;
}

function Results({ q, found }: { q: string; found: Found }) {
  const nothing = !found.resources.length && !found.like.length && !found.instances.length && !found.nodes.length;
  return (
    <div aria-live="polite">
      {found.problems.slice(0, 1).map((p) => (
        <Failed key={p.status} problem={p} />
      ))}
      {nothing && found.problems.length === 0 && <Empty>{t('find.nothing', { q })}</Empty>}
      {found.resources.map(({ kind, resource }) => (
        <ResourceCard key={kind} kind={kind} resource={resource} />
      ))}
      <InstanceHits title={t('find.instances')} items={found.instances} />
      <InstanceHits title={t('find.node', { node: q })} items={found.nodes} />
      {found.like.length > 0 && (
        <section aria-labelledby="like">
          <h2 id="like">{t('find.like')}</h2>
          <ul class="ids">
            {found.like.map((r) => (
              <li key={r.kind + r.id}>
                <a href={to(['find'], { kind: r.kind, q: r.id })}>{r.id}</a> <span class="dim">{r.kind}</span>
              </li>
            ))}
          </ul>
        </section>
      )}
    </div>
  );
}

function InstanceHits({ title, items }: { title: string; items: Instance[] }) {
  if (items.length === 0) return null;
  return (
    <section>
      <h2>{title}</h2>
      <ul class="hits">
        {items.slice(0, 100).map((i) => (
          <li key={i.kind + i.ordinal}>
            <a href={to(['kinds', i.kind, 'instances', String(i.ordinal)])}>
              {t('instance.title', { kind: i.kind, n: String(i.ordinal) })}
            </a>{' '}
            <State prefix="state" code={i.state} /> <span class="dim">{i.node}</span>
          </li>
        ))}
      </ul>
      {items.length > 100 && <p class="dim">{t('more', { n: items.length - 100 })}</p>}
    </section>
  );
}

function place(ordinal: number) {
  return ordinal < 0 ? t('pool') : t('instance.n', { n: String(ordinal) });
}

function ResourceCard({ kind, resource: r }: { kind: string; resource: Resource }) {
  return (
    <section class="card" aria-label={r.id}>
      <h2 class="id">{r.id}</h2>
      <p class="dim">{kind}</p>
      <p>
        {word('place', r.place)}{' '}
        {r.instance !== undefined && (
          <a href={to(['kinds', kind, 'instances', String(r.instance)])}>{place(r.instance)}</a>
        )}{' '}
        {r.from !== undefined && t('find.from', { from: place(r.from) })}
        {r.pod && <span class="dim"> {r.pod}</span>} {r.node && <span class="dim"> {r.node}</span>}
      </p>
      <p>
        {r.since ? (
          <>
            {t('find.since')} <Age at={r.since} />
            {t('end')}
          </>
        ) : (
          t('find.notkept')
        )}{' '}
        {r.why !== 'not kept' && word('why', r.why)}
      </p>
      {r.parked && (
        <p class="warn">
          <span aria-hidden="true">△ </span>
          <Server>{r.parked}</Server>
        </p>
      )}
      {r.pin && (
        <p>
          {t('find.pinned', { to: place(r.pin.instance), by: r.pin.by ?? '' })} <Age at={r.pin.at} />
        </p>
      )}
      <p class="buttons">
        <a class="button" href={to(['kinds', kind, 'rebalance'], { what: 'move', resource: r.id })}>
          {t('find.move')}
        </a>
        <a class="button" href={to(['kinds', kind, 'rebalance'], { what: 'pin', resource: r.id })}>
          {t('find.pin')}
        </a>
      </p>
      {r.moves.length > 0 && (
        <div class="scroll" tabIndex={0} role="region" aria-label={t('find.moves')}>
          <table>
            <caption>{t('find.moves')}</caption>
            <thead>
              <tr>
                <th scope="col">{t('find.when')}</th>
                <th scope="col">{t('find.movefrom')}</th>
                <th scope="col">{t('find.moveto')}</th>
                <th scope="col">{t('nav.why')}</th>
              </tr>
            </thead>
            <tbody>
              {r.moves.map((m) => (
                <tr key={m.at + m.to}>
                  <td>
                    <Age at={m.at} />
                  </td>
                  <td>{place(m.from)}</td>
                  <td>{place(m.to)}</td>
                  <td>{word('why', m.why)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {r.keptSince && (
        <p class="dim">
          {t('find.keptsince')} <Age at={r.keptSince} />
        </p>
      )}
    </section>
  );
}
