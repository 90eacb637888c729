// Takes the pictures of docs/images. Environment: as live.mjs, and FOLDER for the pictures.
import path from 'node:path';
import test from 'node:test';
import { context, open, show } from './open.mjs';

const { SERVER: server, FOLDER: folder } = process.env;
const plan = async (page) => {
  await page.click('section[aria-labelledby=preview] form button');
  await page.waitForSelector('table.plan');
};

for (const { name, view, act, height = 800, ...options } of [
  { name: 'overview', view: 'overview' },
  { name: 'instances-dark', view: 'kinds/Thing/instances?sort=held&down=1', theme: 'dark' },
  { name: 'why', view: 'kinds/Thing/why', height: 900 },
  { name: 'timeline', view: 'kinds/Thing/timeline' },
  {
    name: 'rebalance-dark',
    view: 'kinds/Thing/rebalance?what=drain&instance=13',
    theme: 'dark',
    act: plan,
    height: 1560,
  },
  { name: 'overview-zh-dark', view: 'overview', lang: 'zh', theme: 'dark' },
  { name: 'why-zh', view: 'kinds/Thing/why', lang: 'zh', height: 900 },
  { name: 'instance-zh-narrow', view: 'kinds/Thing/instances/13', lang: 'zh', width: 390, height: 1100 },
]) {
  test(name, async () => {
    const made = await context({ ...options, height });
    const { page, close } = await open(server + '/ui/', {}, made);
    await show(page, '#/' + view);
    await act?.(page);
    await page.evaluate(() => document.activeElement.blur());
    await page.screenshot({ path: path.join(folder, `${name}.png`) });
    await close();
  });
}
