import { silence, type Heard, type Said } from './hub';
import { Tabs } from './tabs';

const name = 'shardscaler';
const patience = 1.5 * silence; // the holder says sooner that it hears nothing

/** What tabs send each other: what one says to the holder of the stream, or the holder to one; begun: there is a new one. */
type Letter = { from: string; said: Said } | { to: string; heard: Heard } | { begun: true };

/** Whether this browser has what relay needs. A page by plain HTTP of another machine has not. */
export const canRelay = () => 'locks' in navigator && 'BroadcastChannel' in globalThis;

/**
 * Has the tabs of a browser without shared workers share one stream: that of the tab that holds a lock. When it is
 * closed, the next one has the lock. What it returns takes what this tab says; silent is called once where
 * the holder sends nothing any more.
 */
export function relay(
  url: string,
  knock: boolean,
  heard: (heard: Heard) => void,
  silent: () => void,
): (said: Said) => void {
  const me = crypto.randomUUID();
  const channel = new BroadcastChannel(name);
  let held: Tabs<string> | undefined; // while this tab holds the stream
  let fleet = '';
  let timer: ReturnType<typeof setTimeout> | undefined;
  const post = (letter: Letter) => channel.postMessage(letter);
  const say = (said: Said) => {
    fleet = said.fleet ?? fleet;
    if (held) held.hear(me, said);
    else post({ from: me, said });
  };
  const watch = () => {
    clearTimeout(timer);
    if (held) return; // its own stream is watched
    timer = setTimeout(() => {
      say({ bye: true });
      channel.close();
      stop.abort();
      silent();
    }, patience);
  };
  const stop = new AbortController(); // ends the wait for the lock
  channel.onmessage = ({ data }: MessageEvent<Letter>) => {
    if ('begun' in data) say({ url, fleet });
    else if ('said' in data) held?.hear(data.from, data.said);
    else if (data.to === me) {
      watch();
      heard(data.heard);
    }
  };
  const hold = () => {
    clearTimeout(timer);
    held = new Tabs((tab, h) => (tab === me ? heard(h) : post({ to: tab, heard: h })));
    say({ url, knock, fleet });
    post({ begun: true });
    return new Promise<void>(() => undefined); // until this tab is closed
  };
  navigator.locks.request(name, { signal: stop.signal }, hold).catch(() => undefined); // aborted
  watch();
  return say;
}
