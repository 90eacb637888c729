import { Hub, type Heard } from './hub';

// One stream for all tabs of a browser. A tab says the address in its first message, and 'bye' when
// it goes.
const scope = self as unknown as SharedWorkerGlobalScope;
const ports = new Set<MessagePort>();
let hub: Hub | undefined;

scope.onconnect = (e) => {
  const port = e.ports[0];
  if (!port) return;
  port.onmessage = (m: MessageEvent<string>) => {
    if (m.data === 'bye') {
      ports.delete(port);
      return;
    }
    ports.add(port);
    if (hub) {
      port.postMessage(hub.now());
      return;
    }
    hub = new Hub(m.data, (heard: Heard) => ports.forEach((p) => p.postMessage(heard)));
    hub.start();
  };
};
