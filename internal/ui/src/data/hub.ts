import type { Entry, Kind, Session } from '../api/types';
import { Mirror, type Fleet, type Update } from './mirror';

/** What a tab is told. Fleets are those of the kinds that it has asked for. */
export interface Heard {
  link: Link;
  kinds?: Kind[];
  fleets?: Fleet[];
  news?: { kind: string; items: Entry[] };
}

/**
 * What a tab says: where the stream is, whether there may be no session yet, which kind's instances it shows ('': none),
 * or that it goes.
 */
export interface Said {
  url?: string;
  knock?: boolean;
  fleet?: string;
  bye?: boolean;
}

/** open: what is shown arrives as it changes. lost: it does not; seen is when something arrived last. */
export interface Link {
  state: 'connecting' | 'open' | 'lost';
  seen?: number;
  /** The status of an answer that was no stream. */
  status?: number;
}

export const silence = 40_000; // a server that is there says something each 15 s
const least = 1000;
// The most between two attempts. A server that is away is not hurt by them, and one that comes back, or another replica,
// is found soon, also behind an API server, which itself pauses before it tries again: up to 30 s came on top of that.
// Jitter spreads the browsers of a server that has come back over half of the pause.
const most = 5000;
const mostRefused = 30_000; // a server that answers, and refuses the user, is not asked that often

/** Hub holds the one stream of a browser, in a shared worker or in one of its tabs. */
export class Hub {
  private mirror = new Mirror();
  private known = false;
  private link: Link = { state: 'connecting' };
  private stream: EventSource | undefined;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private pause = least;

  constructor(
    private readonly url: string,
    private readonly tell: (heard: Heard) => void,
  ) {}

  /** Begins. Where there may be no session yet, it asks for that first: a stream would be refused, which browsers report. */
  begin(knock: boolean): void {
    if (knock) void this.ask(true);
    else this.start();
  }

  private start(): void {
    this.stream?.close();
    const stream = new EventSource(this.url + '?watch=true');
    this.stream = stream;
    const update = (e: MessageEvent<string>) => this.update(e.data);
    stream.addEventListener('state', update);
    stream.addEventListener('change', update);
    stream.addEventListener('history', (e: MessageEvent<string>) => {
      this.heard();
      this.tell({ link: this.link, news: JSON.parse(e.data) as { kind: string; items: Entry[] } });
    });
    stream.addEventListener('bye', (e: MessageEvent<string>) => {
      if ((JSON.parse(e.data) as { reason: string }).reason === 'refused') this.lost(403);
    });
    // A browser connects again by itself, but not after an answer that is no stream.
    stream.onerror = () => (stream.readyState === EventSource.CLOSED ? void this.ask() : this.lost());
    this.watch();
  }

  /** What is known now, for a tab that joins or shows another kind's instances. */
  now(fleet: string): Heard {
    return {
      link: this.link,
      ...(this.known && { kinds: this.mirror.list(), ...(fleet && { fleets: [this.mirror.fleet(fleet)] }) }),
    };
  }

  /** Tries again at once where the connection is lost. */
  hurry(): void {
    if (this.link.state === 'lost') this.begin(this.link.status === 401);
  }

  private update(data: string): void {
    let fleets: Fleet[];
    try {
      fleets = this.mirror.apply(JSON.parse(data) as Update);
    } catch {
      this.mirror = new Mirror(); // a new connection gets everything
      this.again();
      return;
    }
    this.known = true;
    this.heard();
    this.tell({ link: this.link, kinds: this.mirror.list(), fleets });
  }

  private heard(): void {
    this.link = { state: 'open', seen: Date.now() };
    this.pause = least;
    this.watch();
  }

  private lost(status?: number): void {
    const { seen } = this.link;
    this.link = { state: 'lost', ...(seen && { seen }), ...(status !== undefined && { status }) };
    this.tell({ link: this.link });
  }

  private watch(): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.lost();
      this.start();
    }, silence);
  }

  private again(): void {
    this.stream?.close();
    clearTimeout(this.timer);
    const { status = 0 } = this.link;
    const refused = status >= 400 && status < 500;
    this.timer = setTimeout(() => this.begin(status === 401), this.pause * (0.5 + Math.random() / 2));
    this.pause = Math.min(refused ? mostRefused : most, this.pause * 2);
  }

  /** Finds out why there is no stream, which an EventSource does not tell; may: there may be one, if there is a session. */
  private async ask(may = false): Promise<void> {
    let status = 0;
    try {
      const session = await fetch(new URL('session', this.url));
      status = session.status;
      if (session.ok && !((await session.json()) as Session).user) status = 401;
      else if (may) return this.start();
      else if (session.ok) status = (await fetch(this.url)).status;
    } catch {
      // no server: 0
    }
    this.lost(status >= 400 ? status : undefined);
    this.again();
  }
}
