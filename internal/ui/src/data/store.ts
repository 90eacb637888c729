import { batch, computed, signal } from '@preact/signals';
import { address, call } from '../api/client';
import type { Entry, Instance, Kind, KindList } from '../api/types';
import { early } from '../boot';
import { Hub, type Heard, type Link, type Said } from './hub';
import type { Fleet } from './mirror';
import { canRelay, relay } from './relay';
import { parseDuration } from './times';

/** The kinds as last heard; undefined until the first answer. */
export const kinds = signal<Kind[] | undefined>(undefined);
export const link = signal<Link>({ state: 'connecting' });

/** The instances of the kind that this tab shows, ascending by ordinal. */
export const fleet = signal<{ kind: string; items: Instance[] } | undefined>(undefined);

/** The newest history entries that came by themselves. */
export const news = signal<{ kind: string; items: Entry[] } | undefined>(undefined);

/** This clock moves once a second; ages are computed against it. */
export const clock = signal(Date.now());

/** What kind of server this page came from: live, or snapshot for a saved file. */
export const mode = document.documentElement.dataset['mode'] === 'snapshot' ? 'snapshot' : 'live';

/** How far this browser's clock is from the server's, in milliseconds: server minus browser. */
const skew = signal(0);

/** The server's time now; in a snapshot, the time when it was saved. */
export const now = computed(() => {
  const saved = kinds.value?.[0]?.at;
  if (mode === 'snapshot') return saved ? Date.parse(saved) : clock.value;
  return clock.value + skew.value;
});

export function kindNamed(name: string): Kind | undefined {
  return kinds.value?.find((k) => k.name === name);
}

/** Whether a kind is configured to have heartbeats. */
export function beats(kind: Kind): boolean {
  return kind.sources.some((s) => s.name === 'bus');
}

/** How late an instance's heartbeat is, in milliseconds; undefined: not known. */
export function lagOf(i: Instance): number | undefined {
  if (i.lag !== undefined) return parseDuration(i.lag);
  return i.beat === undefined ? undefined : Math.max(0, now.value - Date.parse(i.beat));
}

let say: (said: Said) => void = () => undefined;
let shown = early.fleet;

/** Asks for the instances of a kind; '' asks for none any more. */
export function showFleet(kind: string): void {
  if (shown === kind) return;
  shown = kind;
  fleet.value = undefined;
  say({ fleet: kind });
}

function hear(heard: Heard): void {
  batch(() => {
    link.value = heard.link;
    if (heard.kinds) {
      const newest = Math.max(...heard.kinds.map((k) => Date.parse(k.at ?? '')));
      // less than two seconds is the way of the message, and would make ages jump
      if (Number.isFinite(newest) && Math.abs(newest - Date.now() - skew.value) > 2000)
        skew.value = newest - Date.now();
      kinds.value = heard.kinds;
    }
    const mine = heard.fleets?.find((f) => f.kind === shown);
    if (mine) fleet.value = { kind: shown, items: join(mine) };
    if (heard.news) news.value = heard.news;
  });
}

function join(change: Fleet): Instance[] {
  const known = change.full ? [] : (fleet.peek()?.items ?? []);
  const all = new Map(known.map((i) => [i.ordinal, i]));
  for (const i of change.items) all.set(i.ordinal, i);
  for (const ordinal of change.removed) all.delete(ordinal);
  return [...all.values()].sort((a, b) => a.ordinal - b.ordinal);
}

/** Begins to listen. Tabs of one browser share a connection. */
export function listen(): void {
  setInterval(() => (clock.value = Date.now()), 1000);
  const url = address('kinds');
  if (mode === 'snapshot') void once(url);
  else if (early.worker && !early.failed) share(early.worker, url);
  else without(url);
}

function share(worker: SharedWorker, url: string): void {
  const { port } = worker;
  worker.onerror = () => without(url);
  port.onmessage = (e: MessageEvent<Heard>) => hear(e.data);
  say = (said) => port.postMessage(said);
  if (shown !== early.fleet) say({ fleet: shown });
  comeAndGo();
}

/** Tells who holds the stream when this tab goes, and when it comes back. */
function comeAndGo(): void {
  addEventListener('pagehide', () => say({ bye: true }));
  addEventListener('pageshow', (e: PageTransitionEvent) => e.persisted && say({ fleet: shown }));
}

/** Begins without a shared worker. */
function without(url: string): void {
  if (!canRelay()) {
    alone(url);
    return;
  }
  say = relay(url, early.knock, hear, () => alone(url));
  say({ url, fleet: shown });
  comeAndGo();
}

function alone(url: string): void {
  const hub = new Hub(url, hear);
  say = (said) => hear(hub.now(said.fleet ?? ''));
  hub.begin(early.knock);
}

async function once(url: string): Promise<void> {
  try {
    kinds.value = (await call<KindList>(url)).items;
    link.value = { state: 'open', seen: Date.now() };
  } catch {
    link.value = { state: 'lost' };
    setTimeout(() => void once(url), 5000);
  }
}
