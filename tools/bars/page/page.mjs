// Uses the page of SERVER in BROWSER, and prints what it measured as one line of JSON.
import http from 'node:http';
import zlib from 'node:zlib';
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
        ? requestAnimationFrame(() => requestAnimationFrame(() => console.log('usable', performance.now())))
        : requestAnimationFrame(frame);
    requestAnimationFrame(frame);
  });
  const page = await context.newPage();
  await pause(500); // a new window has work of its own
  const cdp = await context.newCDPSession(page);
  await cdp.send('Emulation.setCPUThrottlingRate', { rate });
  // The page says when: waitForFunction would first have it read scripts of Playwright, a fifth of a second at rate 4.
  const said = page.waitForEvent('console', (m) => m.text().startsWith('usable'));
  await page.goto(address, { waitUntil: 'commit' });
  const usable = parseFloat((await said).text().split(' ')[1]);
  return { page, usable, close: () => context.close() };
}

async function usable() {
  const took = [];
  for (let i = 0; i < 7; i++) {
    const { usable, close } = await tab(table, 4);
    took.push(usable);
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

/** The longest time from Enter in the view Find until the frame with what was found has been drawn. */
async function find(page) {
  const ids = await (await fetch(server + '/ids')).json();
  await page.evaluate(() => (location.hash = '#/find'));
  await page.waitForSelector('input[type=search]');
  const took = [];
  // whole ids, and pieces of ids that no other answer shows
  for (const [i, id] of ids.entries()) {
    const text = i % 2 ? id : id.slice(1, 8);
    await page.fill('input[type=search]', text);
    const ms = page.evaluate(
      (text) =>
        new Promise((done) => {
          const shown = () => [...document.querySelectorAll('.ids a, .card .id')].some((e) => e.textContent.includes(text));
          const from = (e) => {
            const frame = () => {
              if (!shown()) return void requestAnimationFrame(frame);
              const channel = new MessageChannel(); // its message comes after the frame has been drawn
              channel.port1.onmessage = () => done(performance.now() - e.timeStamp);
              channel.port2.postMessage(0);
            };
            requestAnimationFrame(frame);
          };
          if (shown()) throw new Error('what is searched for is there already');
          addEventListener('keydown', from, { capture: true, once: true });
        }),
      text,
    );
    await pause(100);
    await page.keyboard.press('Enter');
    took.push(await ms);
  }
  tell(`finds took ${took.map(Math.round)} ms`);
  return Math.max(...took);
}

/** The kB of the first event of a stream, and of those that follow it, on average, as they are sent to a browser. */
async function stream() {
  const asked = { headers: { 'accept-encoding': 'gzip' } };
  const response = await new Promise((done) => http.get(server + '/v1/api/kinds?watch=true', asked, done));
  let sent = 0;
  let before = 0;
  let rest = '';
  const sizes = [];
  response.on('data', (piece) => (sent += piece.length));
  for await (const piece of response.pipe(zlib.createGunzip())) {
    const events = (rest + piece).split('\n\n');
    rest = events.pop();
    if (events.some((e) => /^event: (state|change)/m.test(e))) {
      sizes.push(sent - before);
      before = sent;
    }
    if (sizes.length > 10) break;
  }
  response.destroy();
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
  const found = await find(page);
  await close();
  const { state, change } = await stream();
  console.log(
    JSON.stringify({
      gzip_kB: gzip,
      usable_at_quarter_speed_s: usable_s,
      filter_longest_ms: longest,
      updates_frames_per_s: rate,
      update_longest_task_ms: task,
      find_longest_ms: found,
      update_kB: change,
      state_kB: state,
    }),
  );
} finally {
  await browser.close();
}
