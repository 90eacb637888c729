import type { Said } from './hub';
import { Tabs } from './tabs';

// One stream for all tabs of a browser.
const scope = self as unknown as SharedWorkerGlobalScope;
const tabs = new Tabs<MessagePort>((port, heard) => port.postMessage(heard));

scope.onconnect = (e) => {
  const port = e.ports[0];
  if (port) port.onmessage = ({ data }: MessageEvent<Said>) => tabs.hear(port, data);
};
