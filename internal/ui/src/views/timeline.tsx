import { useSignal } from '@preact/signals';
import type { Entry, Kind } from '../api/types';
import { useHistory } from '../data/history';
import { to } from '../data/route';
import { sayText, stamp } from '../data/times';
import { n, t } from '../i18n';
import { Empty, Failed, Server, State, Title, Waiting, word } from '../parts/basic';
import { Chart } from '../parts/chart';

export function Timeline({ kind }: { kind: Kind }) {
  const history = useHistory(kind.name);
  const { entries, problem, kept } = history.value;
  return (
    <>
      <Title>{t('timeline.title', { kind: kind.name })}</Title>
      {problem && <Failed problem={problem} />}
      {!entries && !problem && <Waiting />}
      {entries && (
        <>
          {entries.length === 0 ? <Empty>{t('timeline.empty')}</Empty> : <Chart entries={entries} />}
          {kept && <p class="dim">{t('timeline.kept', { time: stamp(kept) })}</p>}
          {entries.length > 0 && <Events kind={kind.name} entries={entries} />}
        </>
      )}
    </>
  );
}

const shown = ['events', 'samples'] as const;
const page = 50;

/** The same as a table: what happened, or the samples of each minute. */
function Events({ kind, entries }: { kind: string; entries: Entry[] }) {
  const what = useSignal<(typeof shown)[number]>('events');
  const first = useSignal(''); // the id of the first row, so that what is new moves none; '': the newest
  const mine = entries.filter((e) => (e.type === 'sample') === (what.value === 'samples')).reverse();
  const start = Math.max(
    0,
    mine.findIndex((e) => e.id === first.value),
  );
  const rows = mine.slice(start, start + page);
  const turn = (by: number) => {
    first.value = start + by > 0 ? (mine[start + by]?.id ?? first.value) : '';
  };
  return (
    <section aria-labelledby="events">
      <h2 id="events">{t('timeline.table')}</h2>
      <div class="filters">
        <label>
          {t('timeline.show')}
          <select
            value={what}
            onChange={(e) => {
              what.value = e.currentTarget.value === 'samples' ? 'samples' : 'events';
              first.value = '';
            }}
          >
            {shown.map((s) => (
              <option key={s} value={s}>
                {t(`timeline.${s}`)}
              </option>
            ))}
          </select>
        </label>
      </div>
      {mine.length === 0 && <Empty>{t('timeline.none')}</Empty>}
      {mine.length > 0 && (
        <div class="scroll" tabIndex={0} role="region" aria-label={t(`timeline.${what.value}`)}>
          <table>
            {what.value === 'samples' ? <Samples entries={rows} /> : <Happened kind={kind} entries={rows} />}
          </table>
        </div>
      )}
      {mine.length > page && (
        <p class="buttons">
          <button type="button" aria-disabled={start === 0} onClick={() => start > 0 && turn(-page)}>
            {t('timeline.newer')}
          </button>
          <button
            type="button"
            aria-disabled={start + page >= mine.length}
            onClick={() => start + page < mine.length && turn(page)}
          >
            {t('timeline.older')}
          </button>
          <span class="dim">{t('timeline.rows', { from: start + 1, to: start + rows.length, n: mine.length })}</span>
        </p>
      )}
    </section>
  );
}

function Happened({ kind, entries }: { kind: string; entries: Entry[] }) {
  return (
    <>
      <thead>
        <tr>
          <th scope="col">{t('find.when')}</th>
          <th scope="col">{t('timeline.what')}</th>
          <th scope="col">{t('timeline.details')}</th>
        </tr>
      </thead>
      <tbody>
        {entries.map((e) => (
          <tr key={e.id}>
            <td>
              <time dateTime={e.at}>{stamp(e.at)}</time>
            </td>
            <td>{word('entry', e.type)}</td>
            <td>
              <Detail kind={kind} entry={e} />
            </td>
          </tr>
        ))}
      </tbody>
    </>
  );
}

function Detail({ kind, entry: e }: { kind: string; entry: Entry }) {
  if (e.decision) {
    return (
      <>
        <State code={e.decision.verb} /> <Server>{e.decision.summary}</Server>{' '}
        {e.decision.whole && <a href={to(['kinds', kind, 'why', e.id])}>{t('why.link')}</a>}
      </>
    );
  }
  if (e.moves) return <>{t('timeline.moves', { n: e.moves.count, why: word('moving', e.moves.reason) })}</>;
  if (e.change) {
    return (
      <>
        <strong>{e.change.by}</strong> {word('op', e.change.what)}
        {(e.change.before || e.change.after) && (
          <>
            {': '}
            <Server>{e.change.before ?? ''}</Server> → <Server>{e.change.after ?? ''}</Server>
          </>
        )}
      </>
    );
  }
  if (e.gap) {
    return (
      <>
        {word('gap', e.gap.reason)} {e.until && t('timeline.until', { time: stamp(e.until) })}
      </>
    );
  }
  return null;
}

function Samples({ entries }: { entries: Entry[] }) {
  return (
    <>
      <thead>
        <tr>
          <th scope="col">{t('find.when')}</th>
          <th scope="col">{t('size')}</th>
          <th scope="col">{t('ready')}</th>
          <th scope="col">{t('desired')}</th>
          <th scope="col">{t('resources')}</th>
          <th scope="col">{t('unassigned')}</th>
          <th scope="col">{t('inFlight')}</th>
          <th scope="col">{t('lag.worst')}</th>
        </tr>
      </thead>
      <tbody>
        {entries.map((e) => (
          <tr key={e.id} class="n">
            <td>
              <time dateTime={e.at}>{stamp(e.at)}</time>
            </td>
            {e.sample && (
              <>
                <td>{n(e.sample.replicas)}</td>
                <td>{n(e.sample.ready)}</td>
                <td>{n(e.sample.desired)}</td>
                <td>{n(e.sample.resources)}</td>
                <td>{n(e.sample.unassigned)}</td>
                <td>{n(e.sample.inFlight)}</td>
                <td>{e.sample.worstLag ? sayText(e.sample.worstLag) : t('unknown')}</td>
              </>
            )}
          </tr>
        ))}
      </tbody>
    </>
  );
}
