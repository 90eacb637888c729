import { computed, signal } from '@preact/signals';
import { address, call } from '../api/client';
import type { Kind, KindList } from '../api/types';
import { Hub, type Heard, type Link } from './hub';

/** The kinds as last heard; undefined until the first answer. */
export const kinds = signal<Kind[] | undefined>(undefined);
export const link = signal<Link>({ state: 'connecting' });

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

function hear(heard: Heard): void {
  const newest = Math.max(...heard.kinds.map((k) => Date.parse(k.at)));
  // less than two seconds is the way of the message, and would make ages jump
  if (Number.isFinite(newest) && Math.abs(newest - Date.now() - skew.value) > 2000) skew.value = newest - Date.now();
  if (heard.kinds.length > 0 || heard.link.state === 'open') kinds.value = heard.kinds;
  link.value = heard.link;
}

/** Begins to listen. Tabs of one browser share a connection where it has shared workers. */
export function listen(): void {
  setInterval(() => (clock.value = Date.now()), 1000);
  const url = address('kinds');
  if (mode === 'snapshot') {
    void once(url);
  } else {
    share(url, () => new Hub(url, hear).start());
  }
}

/** Joins the browser's shared worker, or calls alone where there is none. */
function share(url: string, alone: () => void): void {
  if (typeof SharedWorker !== 'function') {
    alone();
    return;
  }
  const worker = new SharedWorker(new URL('./worker.ts', import.meta.url), { type: 'module', name: 'shardscaler' });
  const { port } = worker;
  worker.onerror = alone;
  port.onmessage = (e: MessageEvent<Heard>) => hear(e.data);
  port.postMessage(url);
  addEventListener('pagehide', () => port.postMessage('bye'));
  addEventListener('pageshow', (e: PageTransitionEvent) => e.persisted && port.postMessage(url));
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
