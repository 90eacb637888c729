// Uses the page of SERVER in BROWSER, and prints what it measured as one line of JSON.
import { chromium } from 'playwright-core';

const { BROWSER: executablePath, SERVER: server } = process.env;
const table = server + '/ui/#/kinds/Thing/instances';
const tell = (text) => process.stderr.write(`page: ${text}\n`);
const pause = (ms) => new Promise((done) => setTimeout(done, ms));
const sent = async () => (await fetch(server + '/sent')).json();
const median = (all) => [...all].sort((a, b) => a - b)[Math.floor(all.length / 2)];

const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu'] });

/** Opens a tab of a browser that knows nothing yet. */
async function tab(address, rate = 1) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 } });
  await context.addInitScript(() => {
    // when the table of the instances is there, and two frames later, so that it has been drawn
    const frame = () =>
      document.querySelector('.rows tbody a')
        ? requestAnimationFrame(() => requestAnimationFrame(() => (window.usable ??= performance.now())))
        : requestAnimationFrame(frame);
    requestAnimationFrame(frame);
  });
  const page = await context.newPage();
  const cdp = await context.newCDPSession(page);
  await cdp.send('Emulation.setCPUThrottlingRate', { rate });
  await page.goto(address, { waitUntil: 'commit' });
  await page.waitForFunction(() => window.usable !== undefined);
  return { page, close: () => context.close() };
}

async function usable() {
  const took = [];
  for (let i = 0; i < 7; i++) {
    const { page, close } = await tab(table, 4);
    took.push(await page.evaluate(() => window.usable));
    await close();
  }
  tell(`usable after ${took.map(Math.round)} ms`);
  return median(took.slice(1)) / 1000; // the first start warms the server
}

/** The bytes, as they are sent, of all files that every view needs in one language. */
async function size() {
  const before = await sent();
  const { page, close } = await tab(table);
  for (const view of ['overview', 'kinds/Thing/why', 'kinds/Thing/timeline', 'kinds/Thing/rebalance', 'find']) {
    await page.evaluate((v) => (location.hash = '#/' + v), view);
    await pause(300);
  }
  await close();
  return ((await sent()) - before) / 1000;
}

/** The longest time from a key to the frame that shows what it filters. */
async function filter(page) {
  await page.focus('input[type=search]');
  const took = [];
  for (const key of [...'node-2', ...Array(6).fill('Backspace'), ...'1234', ...Array(4).fill('Backspace')]) {
    const ms = page.evaluate(
      () =>
        new Promise((done) => {
          addEventListener(
            'keydown',
            (e) => {
              const from = e.timeStamp;
              requestAnimationFrame(() => {
                const channel = new MessageChannel(); // its message comes after the frame has been drawn
                channel.port1.onmessage = () => done(performance.now() - from);
                channel.port2.postMessage(0);
              });
            },
            { capture: true, once: true },
          );
        }),
    );
    await pause(30 + Math.random() * 100);
    await page.keyboard.press(key);
    took.push(await ms);
  }
  tell(`filters took ${took.map(Math.round)} ms`);
  return Math.max(...took);
}

/** Frames a second while updates come, and the longest task of the page's own thread. */
async function frames(page) {
  const seconds = 20;
  const seen = await page.evaluate(async (ms) => {
    const tasks = [0];
    new PerformanceObserver((list) => tasks.push(...list.getEntries().map((e) => e.duration))).observe({
      type: 'longtask',
    });
    let updates = 0;
    new MutationObserver(() => updates++).observe(document.querySelector('.rows tbody'), {
      subtree: true,
      characterData: true,
      childList: true,
    });
    const began = performance.now();
    let count = 0;
    await new Promise((done) => {
      const frame = (at) => (count++, at - began < ms ? requestAnimationFrame(frame) : done());
      requestAnimationFrame(frame);
    });
    return { rate: (1000 * count) / (performance.now() - began), longest: Math.max(...tasks), updates };
  }, seconds * 1000);
  tell(`${seen.updates} updates in ${seconds} s, longest task ${seen.longest} ms`);
  if (seen.updates < seconds / 2) throw new Error('the table did not change');
  return seen;
}

/** The kB of the first event of a stream, and of those that follow it, on average. */
async function stream() {
  const stop = new AbortController();
  const response = await fetch(server + '/v1/api/kinds?watch=true', { signal: stop.signal });
  const sizes = [];
  let rest = '';
  for await (const piece of response.body.pipeThrough(new TextDecoderStream())) {
    const events = (rest + piece).split('\n\n');
    rest = events.pop();
    for (const e of events) if (/^event: (state|change)/m.test(e)) sizes.push(Buffer.byteLength(e) + 2);
    if (sizes.length > 10) break;
  }
  stop.abort();
  const [state, ...changes] = sizes;
  return { state: state / 1000, change: changes.reduce((a, b) => a + b) / changes.length / 1000 };
}

try {
  const gzip = await size();
  const usable_s = await usable();
  const { page, close } = await tab(table);
  await pause(2000);
  const longest = await filter(page);
  const { rate, longest: task } = await frames(page);
  await close();
  const { state, change } = await stream();
  console.log(
    JSON.stringify({
      gzip_kB: gzip,
      usable_at_quarter_speed_s: usable_s,
      filter_longest_ms: longest,
      updates_frames_per_s: rate,
      update_longest_task_ms: task,
      update_kB: change,
      state_kB: state,
    }),
  );
} finally {
  await browser.close();
}
