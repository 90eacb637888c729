import { useSignal, type Signal } from '@preact/signals';
import { address, ofKind, send } from '../api/client';
import type { Kind, Override, WaitingSet } from '../api/types';
import { now } from '../data/store';
import { say } from '../data/times';
import { n, t } from '../i18n';
import { Age, Bar, Empty, Server, Title, word } from '../parts/basic';
import { Confirm } from '../parts/dialog';
import { Preview } from './preview';

/** Something that is to be confirmed: the keys of its texts, their parameters, and the call. */
interface Ask {
  what: 'pause' | 'resume' | 'rollback' | 'confirm' | 'wake' | 'end';
  params: Record<string, string | number>;
  act: () => Promise<unknown>;
}

export function Rebalance({ kind }: { kind: Kind }) {
  const ask = useSignal<Ask | undefined>(undefined);
  const done = useSignal('');
  const close = () => (ask.value = undefined);
  const a = ask.value;
  return (
    <>
      <Title>{t('rebalance.title', { kind: kind.name })}</Title>
      <p role="status" class="good">
        {done.value}
      </p>
      <Running kind={kind} ask={ask} />
      <Waiting kind={kind} ask={ask} />
      <Standing kind={kind} ask={ask} />
      <Preview kind={kind} done={done} />
      {a && (
        <Confirm
          key={a}
          title={t(`ask.${a.what}`, a.params)}
          verb={t(`do.${a.what}`)}
          close={close}
          act={async () => {
            await a.act();
            done.value = t(`done.${a.what}`, a.params);
          }}
        >
          <p>{t(`will.${a.what}`, a.params)}</p>
        </Confirm>
      )}
    </>
  );
}

interface Part {
  kind: Kind;
  ask: Signal<Ask | undefined>;
}

function Running({ kind, ask }: Part) {
  const p = kind.progress;
  const call = (method: 'POST' | 'DELETE', path: string) => () => send(method, address(ofKind(kind.name, path)));
  const params = { kind: kind.name, left: p.left ?? 0 };
  return (
    <section aria-labelledby="running" class="card">
      <h2 id="running">{t('running')}</h2>
      {!p.planId && !p.blocked && <Empty>{t('running.nothing')}</Empty>}
      {p.planId && (
        <>
          <p>
            {p.reason && <strong>{word('moving', p.reason)} </strong>}
            {p.why && <Server>{p.why}</Server>}
          </p>
          <Bar parts={[{ value: p.done ?? 0, tone: 'fill' }]} of={p.moves ?? 0} />
          <p>
            {t('moves.text', { done: p.done ?? 0, moves: p.moves ?? 0, rate: Math.round(p.perMinute ?? 0) })}{' '}
            {p.estimatedEnd && t('running.left', { time: say(Date.parse(p.estimatedEnd) - now.value) })}{' '}
            {!!p.beyond && t('running.beyond', { n: p.beyond })}
          </p>
        </>
      )}
      {p.blocked && (
        <p class="note">
          <span aria-hidden="true">ⓘ </span>
          {t('running.waits')} <Server>{p.blocked}</Server>
        </p>
      )}
      <p class="buttons">
        {kind.paused.value ? (
          <button type="button" onClick={() => (ask.value = { what: 'resume', params, act: call('DELETE', 'pause') })}>
            {t('do.resume')}
          </button>
        ) : (
          <button type="button" onClick={() => (ask.value = { what: 'pause', params, act: call('POST', 'pause') })}>
            {t('do.pause')}
          </button>
        )}
        <button type="button" onClick={() => (ask.value = { what: 'wake', params, act: call('POST', 'orchestrate') })}>
          {t('do.wake')}
        </button>
        {p.planId && (
          <button
            type="button"
            onClick={() => (ask.value = { what: 'rollback', params, act: call('POST', 'rollback') })}
          >
            {t('do.rollback')}
          </button>
        )}
      </p>
    </section>
  );
}

/** Deletes that a comparison with the catalogue found: a person says whether they are meant. */
function Waiting({ kind, ask }: Part) {
  const sets = kind.waiting?.sets ?? [];
  if (sets.length === 0) return null;
  const confirm = (s: WaitingSet): Ask => ({
    what: 'confirm',
    params: { kind: kind.name, count: s.count, known: s.known, set: String(s.set) },
    act: () => send('POST', address(ofKind(kind.name, 'confirm')), { deletes: s.count, set: s.set }),
  });
  return (
    <section aria-labelledby="deletes" class="card">
      <h2 id="deletes">{t('deletes')}</h2>
      <p>{t('deletes.why')}</p>
      <ul class="plain">
        {sets.map((s) => (
          <li key={s.set} class="line">
            <span>
              {t('deletes.set', { count: s.count, known: s.known, set: String(s.set) })} <Age at={s.since} />
            </span>
            <button type="button" onClick={() => (ask.value = confirm(s))}>
              {t('deletes.confirm', { count: s.count })}
            </button>
          </li>
        ))}
      </ul>
    </section>
  );
}

/** The call that ends what a person has put over the configuration; undefined: the ConfigMap ends it. */
function ending(kind: string, o: Override): (() => Promise<unknown>) | undefined {
  const end =
    (path: string, query = {}) =>
    () =>
      send('DELETE', address(ofKind(kind, path), query));
  switch (o.what) {
    case 'size':
      return end('size');
    case 'paused':
      return end('pause');
    case 'drain':
      return end(`drains/${o.instance ?? ''}`);
    case 'pin':
    case 'move':
      return end('pins', { resource: o.resource });
  }
  return undefined;
}

function Standing({ kind, ask }: Part) {
  const all = kind.overrides;
  return (
    <section aria-labelledby="standing" class="card">
      <h2 id="standing">{t('standing')}</h2>
      {all.length === 0 && <Empty>{t('standing.none')}</Empty>}
      <ul class="plain">
        {all.map((o) => {
          const what =
            `${word('override', o.what)} ${o.resource ?? ''} ${o.instance ?? (o.what === 'paused' ? '' : n(o.value ?? 0))}`.trim();
          const act = ending(kind.name, o);
          return (
            <li key={what} class="line">
              <span>
                <strong>{what}</strong> {o.by && t('standing.by', { by: o.by })} {o.at && <Age at={o.at} />}{' '}
                {o.until && t('standing.until', { time: say(Date.parse(o.until) - now.value) })}
              </span>
              {act && (
                <button type="button" onClick={() => (ask.value = { what: 'end', params: { what }, act })}>
                  {t('standing.end', { what })}
                </button>
              )}
            </li>
          );
        })}
      </ul>
    </section>
  );
}
