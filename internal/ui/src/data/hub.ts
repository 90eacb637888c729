import { call } from '../api/client';
import type { Kind, KindList } from '../api/types';

/** What a tab is told: the kinds in their order, and how the connection stands. */
export interface Heard {
  kinds: Kind[];
  link: Link;
}

/** open: what is shown arrives as it changes. lost: it does not, since then; seen is its last time. */
export interface Link {
  state: 'connecting' | 'open' | 'lost';
  seen?: number;
  status?: number;
}

const silence = 20_000; // after which a call finds out whether the connection still stands
const pause = 5_000; // between two attempts

/**
 * Hub holds the one stream of a browser, in a shared worker, or of a tab where the browser has none.
 * It calls tell after each change of what it knows.
 */
export class Hub {
  private kinds = new Map<string, Kind>();
  private link: Link = { state: 'connecting' };
  private stream: EventSource | undefined;
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly url: string,
    private readonly tell: (heard: Heard) => void,
  ) {}

  start(): void {
    const stream = new EventSource(this.url + '?watch=true');
    this.stream = stream;
    stream.addEventListener('state', (e: MessageEvent<string>) => this.whole(JSON.parse(e.data) as KindList));
    stream.addEventListener('kind', (e: MessageEvent<string>) => this.one(JSON.parse(e.data) as Kind));
    stream.onerror = () => {
      if (stream.readyState === EventSource.CLOSED) void this.ask();
      else this.lost();
    };
    this.watch();
  }

  /** What is known now, for a tab that joins. */
  now(): Heard {
    return { kinds: [...this.kinds.values()], link: this.link };
  }

  private whole(list: KindList): void {
    this.kinds = new Map(list.items.map((k) => [k.name, k]));
    this.heard();
  }

  private one(kind: Kind): void {
    this.kinds.set(kind.name, kind);
    this.heard();
  }

  private heard(): void {
    this.link = { state: 'open', seen: Date.now() };
    this.tell(this.now());
    this.watch();
  }

  private lost(status?: number): void {
    const { seen } = this.link;
    this.link = { state: 'lost', ...(seen && { seen }), ...(status !== undefined && { status }) };
    this.tell(this.now());
  }

  private watch(after = silence): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.ask(), after);
  }

  /** Asks once without the stream, which is closed or silent, and begins a new one. */
  private async ask(): Promise<void> {
    clearTimeout(this.timer);
    this.stream?.close();
    try {
      this.whole(await call<KindList>(this.url));
    } catch (err) {
      this.lost((err as { status?: number }).status);
    }
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.start(), pause);
  }
}
