import { computed, signal, type ReadonlySignal } from '@preact/signals';
import { useEffect, useMemo } from 'preact/hooks';
import { address, call, ofKind, type Problem } from '../api/client';
import type { Instance, InstanceList } from '../api/types';
import { fleet, lagOf, mode, showFleet } from './store';

/** All instances of a kind, as last heard. problem: why there are none. */
export interface Fleet {
  items?: Instance[];
  problem?: Problem;
}

const page = 500;

/** All instances of a kind, asked for now; of a name: the one of that ordinal or pod, and those on that node. */
export async function allInstances(kind: string, name?: string): Promise<Instance[]> {
  const items: Instance[] = [];
  let from: string | undefined;
  do {
    const list = await call<InstanceList>(address(ofKind(kind, 'instances'), { name, limit: page, continue: from }));
    items.push(...list.items);
    from = list.continue;
  } while (from);
  return items;
}

/** Follows the instances of a kind: by the stream, or as a snapshot has them. */
export function useFleet(kind: string): ReadonlySignal<Fleet> {
  const [result, run] = useMemo(() => {
    if (mode === 'live') {
      const run = () => {
        showFleet(kind);
        return () => showFleet('');
      };
      return [computed<Fleet>(() => (fleet.value?.kind === kind ? { items: fleet.value.items } : {})), run] as const;
    }
    const read = signal<Fleet>({});
    const run = () =>
      void allInstances(kind).then(
        (items) => (read.value = { items }),
        (problem: Problem) => (read.value = { problem }),
      );
    return [read, run] as const;
  }, [kind]);
  useEffect(run, [run]);
  return result;
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
      return lagOf(i);
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
