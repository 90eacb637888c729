import { useSignal, type Signal } from '@preact/signals';
import { useEffect, useLayoutEffect, useRef } from 'preact/hooks';
import type { Instance, Load } from '../api/types';
import { columns, type Column } from '../data/instances';
import { to } from '../data/route';

import { n, t } from '../i18n';
import { Bar, sayLag, State, word } from './basic';

interface Props {
  kind: string;
  items: Instance[];
  by: Column;
  down: boolean;
  sort: (column: Column) => void;
  /** Set while the reader points at rows or has the focus in them. */
  held: Signal<boolean>;
}

const spare = 10; // rows beyond each end of what is seen
const most = 120; // rows in the document

/** The instances as a table of which only the rows near what is seen are in the document. */
export function Rows({ kind, items, by, down, sort, held }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const top = useSignal(0);
  const active = useSignal(0);
  const pointed = useRef({ over: false, inside: false });
  const row = useRowHeight();
  const focus = useRef(false);

  const hold = (change: Partial<{ over: boolean; inside: boolean }>) => {
    Object.assign(pointed.current, change);
    held.value = pointed.current.over || pointed.current.inside;
  };
  useEffect(() => () => void (held.value = false), []);

  const seen = Math.ceil((box.current?.clientHeight ?? 600) / row);
  const begin = Math.floor(top.value / row);
  const first = Math.max(0, Math.min(begin - spare, items.length - 1));
  const last = Math.min(items.length, first + most, begin + seen + spare);
  const current = Math.min(active.value, items.length - 1);
  // One row can be come to by Tab: the active one, or the first that is in the document.
  const stop = current >= first && current < last ? current : first;

  useLayoutEffect(() => {
    if (!focus.current) return;
    focus.current = false;
    box.current?.querySelector<HTMLElement>(`[data-at="${active.value}"]`)?.focus({ preventScroll: true });
  });

  const move = (e: KeyboardEvent) => {
    const steps: Record<string, number> = {
      ArrowDown: 1,
      ArrowUp: -1,
      PageDown: seen - 2,
      PageUp: 2 - seen,
      Home: -items.length,
      End: items.length,
    };
    const step = steps[e.key];
    if (step === undefined || !box.current) return;
    e.preventDefault();
    const next = Math.max(0, Math.min(items.length - 1, stop + step));
    active.value = next;
    focus.current = true;
    const { scrollTop, clientHeight } = box.current;
    const head = row; // the header sticks to the top
    if (next * row < scrollTop) box.current.scrollTop = next * row;
    else if ((next + 1) * row + head > scrollTop + clientHeight)
      box.current.scrollTop = (next + 1) * row + head - clientHeight;
    top.value = box.current.scrollTop;
  };

  return (
    <>
      <div
        ref={box}
        class="rows"
        tabIndex={0}
        role="region"
        aria-label={t('rows.label')}
        onScroll={(e) => (top.value = e.currentTarget.scrollTop)}
        onPointerEnter={() => hold({ over: true })}
        onPointerLeave={() => hold({ over: false })}
        onFocusIn={() => hold({ inside: true })}
        onFocusOut={() => hold({ inside: false })}
      >
        <table aria-rowcount={items.length + 1}>
          <thead>
            <tr aria-rowindex={1}>
              {columns.map((c) => (
                <th
                  key={c}
                  scope="col"
                  class={c}
                  aria-sort={c === by ? (down ? 'descending' : 'ascending') : undefined}
                >
                  <button type="button" onClick={() => sort(c)}>
                    {t(`column.${c}`)} <span aria-hidden="true">{c === by ? (down ? '▼' : '▲') : ''}</span>
                  </button>
                </th>
              ))}
            </tr>
          </thead>
          <tbody onKeyDown={move}>
            {first > 0 && <Gap px={first * row} />}
            {items.slice(first, last).map((i, k) => (
              <Row key={i.ordinal} kind={kind} item={i} at={first + k} stop={first + k === stop} />
            ))}
            {last < items.length && <Gap px={(items.length - last) * row} />}
          </tbody>
        </table>
      </div>
      <p class="dim held">{held.value ? t('rows.held') : t('rows.keys')}</p>
    </>
  );
}

function Gap({ px }: { px: number }) {
  return (
    <tr aria-hidden="true" class="gap">
      <td colSpan={columns.length} style={{ height: `${px}px` }} />
    </tr>
  );
}

/** The height of a row in pixels, which follows the reader's text size. */
function useRowHeight(): number {
  const rem = parseFloat(getComputedStyle(document.documentElement).fontSize) || 16;
  return 2.25 * rem;
}

function Row({ kind, item: i, at, stop }: { kind: string; item: Instance; at: number; stop: boolean }) {
  const { list } = i;
  return (
    <tr aria-rowindex={at + 2}>
      <th scope="row">
        <a href={to(['kinds', kind, 'instances', String(i.ordinal)])} data-at={at} tabIndex={stop ? 0 : -1}>
          {i.ordinal}
        </a>
      </th>
      <td>
        <State prefix="state" code={i.state} />
      </td>
      <td class={i.health.condition === 'Healthy' ? '' : 'bad'}>
        {i.health.condition !== 'Healthy' && <span aria-hidden="true">▲ </span>}
        {word('health', i.health.condition)}
      </td>
      <td class="held">
        <Bar
          parts={[
            { value: list.count, tone: 'fill' },
            { value: list.inFlight ?? 0, tone: 'flight' },
          ]}
          of={list.capacity}
        />
        <span class="n">{t('of', { n: n(list.count), of: n(list.capacity) })}</span>
      </td>
      <td class="n">{use(i.cpu, cores)}</td>
      <td class="n">{use(i.memory, mebibytes)}</td>
      <td class="n">{sayLag(i)}</td>
      <td class="node">{i.node ?? t('none')}</td>
    </tr>
  );
}

/** An amount of CPU, from thousandths of a core. */
export const cores = (value: number) => t('cores', { n: value / 1000 });

/** An amount of memory, from bytes. */
export const mebibytes = (value: number) => t('mebibytes', { n: Math.round(value / (1 << 20)) });

/** The use of CPU or memory against its target, in words; the amount where it has none. */
export function use(load: Load | undefined, amount: (value: number) => string): string {
  if (!load || load.missing) return t('unknown');
  if (load.ratio !== undefined) return t('percent', { n: Math.round(load.ratio * 100) });
  return amount(load.usage);
}
