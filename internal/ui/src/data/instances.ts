import { signal, type Signal } from '@preact/signals';
import { useEffect, useMemo } from 'preact/hooks';
import { address, call, ofKind, type Problem } from '../api/client';
import type { Instance, InstanceList } from '../api/types';
import { mode } from './store';
import { parseDuration } from './times';

/** All instances of a kind, as last read. problem: why the latest read failed. */
export interface Fleet {
  items?: Instance[];
  problem?: Problem;
}

const page = 500;

async function all(kind: string, stop: AbortSignal): Promise<Instance[]> {
  const items: Instance[] = [];
  let from: string | undefined;
  do {
    const url = address(ofKind(kind, 'instances'), { limit: page, continue: from });
    const list = await call<InstanceList>(url, { signal: stop });
    items.push(...list.items);
    from = list.continue;
  } while (from);
  return items;
}

/** Reads the instances of a kind, again each every milliseconds while the page is visible. */
export function useFleet(kind: string, every = 2000): Signal<Fleet> {
  const [fleet, run] = useMemo(() => {
    const fleet = signal<Fleet>({});
    const run = () => {
      const stop = new AbortController();
      let timer: ReturnType<typeof setTimeout> | undefined;
      const ask = async () => {
        if (document.visibilityState === 'visible') {
          try {
            fleet.value = { items: await all(kind, stop.signal) };
          } catch (err) {
            if (stop.signal.aborted) return;
            fleet.value = { ...fleet.peek(), problem: err as Problem };
          }
        }
        if (mode === 'live') timer = setTimeout(() => void ask(), every);
      };
      void ask();
      return () => {
        stop.abort();
        clearTimeout(timer);
      };
    };
    return [fleet, run] as const;
  }, [kind, every]);
  useEffect(run, [run]);
  return fleet;
}

export const columns = ['ordinal', 'state', 'health', 'held', 'cpu', 'memory', 'lag', 'node'] as const;
export type Column = (typeof columns)[number];

/** What a column is sorted by; undefined comes last, whatever the direction. */
export function sortKey(i: Instance, column: Column): number | string | undefined {
  switch (column) {
    case 'ordinal':
      return i.ordinal;
    case 'state':
      return i.state;
    case 'health':
      return i.health.condition === 'Healthy' ? '~' : i.health.condition;
    case 'held':
      return i.list.capacity > 0 ? i.list.count / i.list.capacity : i.list.count;
    case 'cpu':
      return i.cpu?.missing ? undefined : (i.cpu?.ratio ?? i.cpu?.usage);
    case 'memory':
      return i.memory?.missing ? undefined : (i.memory?.ratio ?? i.memory?.usage);
    case 'lag':
      return i.lag === undefined ? undefined : parseDuration(i.lag);
    case 'node':
      return i.node;
  }
}

/** Sorts by a column; equal ones stay ascending by ordinal. */
export function sorted(items: Instance[], column: Column, down: boolean): Instance[] {
  const keyed = items.map((item) => ({ item, key: sortKey(item, column) }));
  const sign = down ? -1 : 1;
  keyed.sort((a, b) => {
    if (a.key === undefined || b.key === undefined) {
      return Number(a.key === undefined) - Number(b.key === undefined) || a.item.ordinal - b.item.ordinal;
    }
    if (a.key < b.key) return -sign;
    if (a.key > b.key) return sign;
    return a.item.ordinal - b.item.ordinal;
  });
  return keyed.map((k) => k.item);
}

/** What the reader picks: a text in ordinal, pod or node, a state, and only what is not healthy. */
export interface Filter {
  text: string;
  state: string;
  health: string;
}

export function picked(items: Instance[], f: Filter): Instance[] {
  const text = f.text.trim().toLowerCase();
  return items.filter(
    (i) =>
      (!f.state || i.state === f.state) &&
      (!f.health || (f.health === 'unwell' ? i.health.condition !== 'Healthy' : i.health.condition === f.health)) &&
      (!text ||
        String(i.ordinal) === text ||
        !!i.pod?.toLowerCase().includes(text) ||
        !!i.node?.toLowerCase().includes(text)),
  );
}
