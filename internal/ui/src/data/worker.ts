import { Hub, type Heard, type Said } from './hub';

// One stream for all tabs of a browser.
const scope = self as unknown as SharedWorkerGlobalScope;
const tabs = new Map<MessagePort, string>(); // and which kind's instances each shows
let hub: Hub | undefined;

function tell(heard: Heard): void {
  for (const [port, kind] of tabs) {
    const fleets = heard.fleets?.filter((f) => f.kind === kind);
    port.postMessage(fleets?.length ? { ...heard, fleets } : { ...heard, fleets: undefined });
  }
}

scope.onconnect = (e) => {
  const port = e.ports[0];
  if (!port) return;
  port.onmessage = ({ data }: MessageEvent<Said>) => {
    if (data.bye) {
      tabs.delete(port);
      return;
    }
    tabs.set(port, data.fleet ?? '');
    if (data.url && !hub) {
      hub = new Hub(data.url, tell);
      hub.start();
    } else if (hub) {
      if (data.url) hub.hurry(); // a page that is opened anew may have signed in
      port.postMessage(hub.now(data.fleet ?? ''));
    }
  };
};
