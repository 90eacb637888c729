import { useComputed, useSignal } from '@preact/signals';
import { useRef } from 'preact/hooks';
import type { Instance, Kind } from '../api/types';
import { columns, picked, sorted, useFleet, type Column } from '../data/instances';
import { refine, route } from '../data/route';
import { t } from '../i18n';
import { Empty, Failed, Title, Waiting, word } from '../parts/basic';
import { Strip } from '../parts/strip';
import { Rows } from '../parts/rows';

const states = ['open', 'closed', 'draining', 'drained', 'leaving', 'lost', 'absent'];

export function Instances({ kind }: { kind: Kind }) {
  const fleet = useFleet(kind.name);
  const { query } = route.value;
  const text = query.get('text') ?? '';
  const state = query.get('state') ?? '';
  const health = query.get('health') ?? '';
  const by = columns.find((c) => c === query.get('sort')) ?? 'ordinal';
  const down = query.get('down') === '1';
  const held = useSignal(false);
  const order = useRef<{ key: string; ordinals: number[] }>({ key: '', ordinals: [] });

  const conditions = useComputed(() => [...new Set((fleet.value.items ?? []).map((i) => i.health.condition))].sort());
  const { items, problem } = fleet.value;
  const all = items ?? [];
  const shown = inOrder(
    sorted(picked(all, { text, state, health }), by, down),
    `${by}${down}${text}|${state}|${health}`,
  );

  // Updates do not move rows while the reader points at them or has the focus there.
  function inOrder(wanted: Instance[], key: string): Instance[] {
    if (held.value && order.current.key === key) {
      const left = new Map(wanted.map((i) => [i.ordinal, i]));
      const kept = order.current.ordinals.flatMap((o) => {
        const i = left.get(o);
        left.delete(o);
        return i ? [i] : [];
      });
      wanted = [...kept, ...left.values()];
    }
    order.current = { key, ordinals: wanted.map((i) => i.ordinal) };
    return wanted;
  }

  const sort = (column: Column) =>
    refine({
      sort: column,
      down: column === by ? (down ? '' : '1') : column === 'ordinal' || column === 'node' ? '' : '1',
    });

  return (
    <>
      <Title>{t('instances.title', { kind: kind.name })}</Title>
      {problem && <Failed problem={problem} />}
      {!items && !problem && <Waiting />}
      {items && (
        <>
          <form class="filters" role="search" onSubmit={(e) => e.preventDefault()}>
            <label>
              {t('filter.text')}
              <input type="search" value={text} onInput={(e) => refine({ text: e.currentTarget.value })} />
            </label>
            <label>
              {t('filter.state')}
              <select value={state} onChange={(e) => refine({ state: e.currentTarget.value })}>
                <option value="">{t('all')}</option>
                {states.map((s) => (
                  <option key={s} value={s}>
                    {word('state', s)}
                  </option>
                ))}
              </select>
            </label>
            <label>
              {t('filter.health')}
              <select value={health} onChange={(e) => refine({ health: e.currentTarget.value })}>
                <option value="">{t('all')}</option>
                <option value="unwell">{t('filter.unwell')}</option>
                {conditions.value.map((c) => (
                  <option key={c} value={c}>
                    {word('health', c)}
                  </option>
                ))}
              </select>
            </label>
            <p class="count" aria-live="polite">
              {t('instances.count', { n: shown.length, of: all.length })}
            </p>
          </form>
          {all.length === 0 && <Empty>{t('instances.empty')}</Empty>}
          {all.length > 0 && shown.length === 0 && <Empty>{t('instances.none')}</Empty>}
          {shown.length > 0 && (
            <>
              <Strip kind={kind.name} items={shown} />
              <Rows kind={kind.name} items={shown} by={by} down={down} sort={sort} held={held} />
            </>
          )}
        </>
      )}
    </>
  );
}
