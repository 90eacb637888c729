import { Hub, type Heard, type Said } from './hub';

/** Tabs are all that share one stream. A tab is named by what send reaches it by. */
export class Tabs<Tab> {
  private readonly shown = new Map<Tab, string>(); // which kind's instances each shows
  private hub: Hub | undefined;

  constructor(private readonly send: (tab: Tab, heard: Heard) => void) {}

  /** Takes in what a tab says. */
  hear(tab: Tab, { url, knock = false, fleet = '', bye }: Said): void {
    if (bye) {
      this.shown.delete(tab);
      return;
    }
    this.shown.set(tab, fleet);
    if (url && !this.hub) {
      this.hub = new Hub(url, (heard) => this.tell(heard));
      this.hub.begin(knock);
    } else if (this.hub) {
      if (url) this.hub.hurry(); // a page that is opened anew may have signed in
      this.send(tab, this.hub.now(fleet));
    }
  }

  private tell(heard: Heard): void {
    for (const [tab, kind] of this.shown) {
      this.send(tab, heard.fleets ? { ...heard, fleets: heard.fleets.filter((f) => f.kind === kind) } : heard);
    }
  }
}
