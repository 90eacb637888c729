// Takes the pictures of docs/images that belong to a moment of the demonstration.
// Environment: BROWSER is the program, PAGE the address of the page, MOMENT the moment's name, FOLDER takes the pictures.
import path from 'node:path';
import test from 'node:test';
import { context, open, show } from './open.mjs';

const { PAGE: address, MOMENT: moment, FOLDER: folder } = process.env;

const preview = async (page) => {
  await page.waitForSelector('section[aria-labelledby=deletes]');
  await page.click('section[aria-labelledby=preview] form button[type=submit]');
  await page.waitForSelector('table.plan');
};
const alarm = (page) => page.waitForSelector('.alarms .cure');
const sampled = (page) =>
  page.waitForFunction(() => document.querySelector('.tree') && !document.querySelector('.tree h3'));
const leaving = (page) => page.waitForFunction(() => document.querySelector('.rows .state.warn'));

/** The chart has the last size, of which a sample comes within a minute. */
const ended = async (page) => {
  const size = page.locator('section[aria-labelledby=events] tbody tr td:nth-child(2)').first();
  await page.selectOption('section[aria-labelledby=events] select', 'samples');
  await size.filter({ hasText: /^8$/ }).waitFor();
  await page.selectOption('section[aria-labelledby=events] select', 'events');
};

/** Opens in Find the first resource of an instance that has been moved. */
const moved = async (page) => {
  const links = page.locator('.ids a');
  await links.first().waitFor();
  for (const href of await links.evaluateAll((all) => all.map((a) => a.getAttribute('href')))) {
    await show(page, href);
    await page.waitForSelector('.card .id');
    if (await page.locator('.card table').count()) return;
  }
};

/** The pictures of each moment; ready waits for what they are to show. */
const pictures = {
  loaded: [
    { name: 'why', view: 'kinds/Thing/why', height: 860, ready: sampled },
    { name: 'why-zh', view: 'kinds/Thing/why', lang: 'zh', height: 860, ready: sampled },
    { name: 'instance-zh-narrow', view: 'kinds/Thing/instances/13', lang: 'zh', width: 390, height: 1100 },
  ],
  deleted: [
    { name: 'instances-dark', view: 'kinds/Thing/instances?sort=ordinal&down=1', theme: 'dark', ready: leaving },
  ],
  'deletes-asked': [
    { name: 'overview', view: 'overview', height: 600, ready: alarm },
    { name: 'overview-zh-dark', view: 'overview', lang: 'zh', theme: 'dark', height: 560, ready: alarm },
    {
      name: 'rebalance-dark',
      view: 'kinds/Thing/rebalance?what=drain&instance=13',
      theme: 'dark',
      height: 1130,
      ready: preview,
    },
    { name: 'config-zh', view: 'kinds/Thing/config', lang: 'zh' },
  ],
  over: [
    { name: 'find', view: 'kinds/Thing/instances/3', height: 640, ready: moved },
    { name: 'timeline', view: 'kinds/Thing/timeline', height: 900, ready: ended },
  ],
};

for (const { name, view, ready, height = 800, ...options } of pictures[moment]) {
  test(name, async () => {
    const { page, close } = await open(address, {}, await context({ ...options, height }));
    page.setDefaultTimeout(180_000);
    await show(page, '#/' + view);
    await ready?.(page);
    await page.evaluate(() => document.activeElement.blur());
    await page.screenshot({ path: path.join(folder, `${name}.png`) });
    await close();
  });
}
