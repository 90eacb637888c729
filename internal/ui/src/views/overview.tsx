import type { Alarm, Kind, Source } from '../api/types';
import { to } from '../data/route';
import { beats, kinds } from '../data/store';
import { sayText } from '../data/times';
import { t } from '../i18n';
import { Age, Bar, Empty, Num, Server, State, Title, word } from '../parts/basic';

export function Overview() {
  const all = kinds.value ?? [];
  return (
    <>
      <Title>{t('nav.overview')}</Title>
      {all.length === 0 && <Empty>{t('overview.empty')}</Empty>}
      <div class="cards">
        {all.map((k) => (
          <Card key={k.name} kind={k} />
        ))}
      </div>
    </>
  );
}

function Card({ kind }: { kind: Kind }) {
  const id = `kind-${kind.name}`;
  return (
    <section class="card" aria-labelledby={id}>
      <header>
        <h2 id={id}>
          <a href={to(['kinds', kind.name, 'instances'])}>{kind.name}</a>
        </h2>
        {kind.blind && <State prefix="verb" code="still" />}
        {kind.mode !== 'act' && <span class="state warn">{word('mode', kind.mode)}</span>}
        {kind.paused.value && <span class="state warn">❙❙ {t('paused')}</span>}
        {kind.groups.map((g) => (
          <span key={g.statefulSet} class="dim">
            {g.namespace}/{g.statefulSet}
          </span>
        ))}
      </header>
      <Sizes kind={kind} />
      <p class="why line">
        <span>
          {!kind.blind && <State code={kind.verb ?? 'still'} />}
          <Server>{kind.blind ?? kind.why}</Server>
        </span>
        <a href={to(['kinds', kind.name, 'why'])}>
          {t('why.link')}
          <span class="hidden"> {kind.name}</span>
        </a>
      </p>
      <Resources kind={kind} />
      <Moving kind={kind} />
      <Alarms kind={kind} />
      <Inputs sources={kind.sources} />
    </section>
  );
}

/** Where a number comes from: which input, how old it is, and what is wrong with it. */
export function From({ kind, source }: { kind: Kind; source: string }) {
  const s = kind.sources.find((each) => each.name === source);
  return (
    <>
      <p>
        {t('from', { source: word('source', source) })} {s && <Age at={s.at} />}
      </p>
      {s?.error && (
        <p class="bad">
          <Server>{s.error}</Server>
        </p>
      )}
    </>
  );
}

function Sizes({ kind }: { kind: Kind }) {
  return (
    <>
      {kind.groups.map((g) => (
        <dl key={g.statefulSet} class="figures">
          <div class="big">
            <dt>{t('size')}</dt>
            <dd>
              <Num label={t('size')} value={g.replicas}>
                <p>{t('size.is', { set: g.statefulSet })}</p>
                <From kind={kind} source="cluster" />
              </Num>
            </dd>
          </div>
          <div class="big">
            <dt>{t('desired')}</dt>
            <dd>
              <Num label={t('desired')} value={g.desired}>
                <p>{t('desired.is', { init: g.init, max: g.max })}</p>
                <a href={to(['kinds', kind.name, 'why'])}>{t('why.link')}</a>
              </Num>
            </dd>
          </div>
          <div>
            <dt>{t('ready')}</dt>
            <dd>
              <Num label={t('ready')} value={g.ready}>
                <p>{t('ready.is')}</p>
                <From kind={kind} source="cluster" />
              </Num>
            </dd>
          </div>
          <div>
            <dt>{t('needed')}</dt>
            <dd>
              <Num label={t('needed')} value={g.needed}>
                <p>{t('needed.is')}</p>
                <a href={to(['kinds', kind.name, 'why'])}>{t('why.link')}</a>
              </Num>
            </dd>
          </div>
          {beats(kind) && <WorstLag kind={kind} />}
        </dl>
      ))}
    </>
  );
}

function WorstLag({ kind }: { kind: Kind }) {
  return (
    <div>
      <dt>{t('lag.worst')}</dt>
      <dd>
        <Num label={t('lag.worst')} value={kind.worstLag ? sayText(kind.worstLag.lag) : undefined}>
          <p>{t('lag.is')}</p>
          <From kind={kind} source="bus" />
          {kind.worstLag && (
            <a href={to(['kinds', kind.name, 'instances', String(kind.worstLag.instance)])}>
              {t('instance.n', { n: String(kind.worstLag.instance) })}
            </a>
          )}
        </Num>
      </dd>
    </div>
  );
}

function Resources({ kind }: { kind: Kind }) {
  const r = kind.resources;
  if (!r) return <p>{t('resources.unknown')}</p>;
  const rows = [
    { key: 'assigned', value: r.assigned, tone: 'fill' },
    { key: 'inFlight', value: r.inFlight, tone: 'flight' },
    { key: 'unassigned', value: r.unassigned, tone: 'pool' },
  ] as const;
  return (
    <div class="resources">
      <p>
        {t('resources')}{' '}
        <Num label={t('resources')} value={r.total}>
          <p>{t('resources.is')}</p>
          <From kind={kind} source="store" />
          {r.catalogue !== undefined && (
            <>
              <p>{t('resources.catalogue', { n: r.catalogue })}</p>
              <From kind={kind} source="catalogue" />
            </>
          )}
        </Num>
      </p>
      <Bar parts={rows} of={r.total} />
      <dl class="legend">
        {rows.map((row) => (
          <div key={row.key}>
            <dt>
              <span class={`key ${row.tone}`} aria-hidden="true" />
              {t(row.key)}
            </dt>
            <dd>
              <Num label={t(row.key)} value={row.value}>
                <p>{t(`${row.key}.is`)}</p>
                <From kind={kind} source="store" />
              </Num>
            </dd>
          </div>
        ))}
      </dl>
    </div>
  );
}

function Moving({ kind }: { kind: Kind }) {
  const { progress: p, drain: d } = kind;
  if (!p.planId && !d) return null;
  return (
    <p class="moving">
      {d && t('drain.text', { phase: word('phase', d.phase), left: d.left, n: d.ordinals?.length ?? 0 })}{' '}
      {d?.blocked && <Server>{d.blocked}</Server>}{' '}
      {p.planId && t('moves.text', { done: p.done ?? 0, moves: p.moves ?? 0, rate: Math.round(p.perMinute ?? 0) })}{' '}
    </p>
  );
}

function Alarms({ kind }: { kind: Kind }) {
  if (kind.alarms.length === 0) {
    return (
      <p class="good">
        <span aria-hidden="true">✓ </span>
        {t('alarms.none')}
      </p>
    );
  }
  return (
    <>
      <h3>{t('alarms', { n: kind.alarms.length })}</h3>
      <ul class="alarms">
        {kind.alarms.map((a) => (
          <AlarmItem key={identity(a)} alarm={a} kind={kind.name} />
        ))}
      </ul>
    </>
  );
}

/** Parameters by which alarms of one name differ; the others are measured, and change. */
const whose = ['condition', 'source', 'instance', 'signal', 'set', 'from', 'pin'];

/** What an alarm keeps while its text changes. */
function identity(a: Alarm): string {
  return [a.name, ...whose.map((p) => a.params?.[p])].join(' ');
}

function AlarmItem({ alarm: a, kind }: { alarm: Alarm; kind: string }) {
  return (
    <li class={a.severity}>
      <State prefix="severity" code={a.severity} /> <Server>{a.text}</Server>
      {a.since && (
        <span class="dim">
          {' '}
          <Age at={a.since} />
        </span>
      )}
      {!!a.ordinals?.length && (
        <p>
          {a.ordinals.slice(0, 5).map((o) => (
            <a key={o} class="chip" href={to(['kinds', kind, 'instances', String(o)])}>
              {t('instance.n', { n: String(o) })}
            </a>
          ))}
          {a.ordinals.length > 5 && <span class="dim"> {t('more', { n: a.ordinals.length - 5 })}</span>}
        </p>
      )}
      {a.cure && (
        <p class="cure">
          <strong>{t('todo')} </strong>
          <Server>{a.cure}</Server>
        </p>
      )}
    </li>
  );
}

function Inputs({ sources }: { sources: Source[] }) {
  const bad = sources.filter((s) => s.error).length;
  return (
    <details class="inputs">
      <summary>{bad > 0 ? t('inputs.bad', { bad, n: sources.length }) : t('inputs', { n: sources.length })}</summary>
      <div class="scroll" tabIndex={0} role="region" aria-label={t('inputs', { n: sources.length })}>
        <table>
          <thead>
            <tr>
              <th scope="col">{t('inputs.name')}</th>
              <th scope="col">{t('inputs.read')}</th>
              <th scope="col">{t('inputs.error')}</th>
            </tr>
          </thead>
          <tbody>
            {sources.map((s) => (
              <tr key={s.name}>
                <th scope="row">{word('source', s.name)}</th>
                <td>
                  <Age at={s.at} />
                </td>
                <td>{s.error ? <Server>{s.error}</Server> : t('none')}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </details>
  );
}
