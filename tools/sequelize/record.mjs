// Runs every way of ways.mjs on a PostgreSQL server and prints what was published, a JSON line a way:
//
//	{"way", "kind", "before": [ids], "messages": [text], "after": [ids], "error"}
//
// before and after are what the catalogue's query returns: soft-deleted rows are none. See README.md.
import { readFileSync } from 'node:fs';
import pg from 'pg';
import { asNoted, ways } from './ways.mjs';
import { notifyAsNoted, platform } from './models.mjs';

const dsn = process.argv[2] ?? await sandboxDSN();
if (!dsn) {
  console.error('usage: node record.mjs postgres://user:password@host:port/emptydatabase, or without an address in a sandbox');
  process.exit(2);
}

let messages = [];
const publish = (message) => messages.push(JSON.stringify(message));
const models = await platform(dsn, publish);

for (const way of ways) console.log(JSON.stringify(await record(way)));
for (const model of [models.Thing, models.Rule]) {
  for (const hook of ['afterCreate', 'afterBulkCreate']) model.options.hooks[hook] = [];
  notifyAsNoted(model, publish);
}
for (const way of asNoted) console.log(JSON.stringify(await record(way)));
await models.db.close();

/** The address of an empty database in the sandbox that runs this program; undefined outside of one. */
async function sandboxDSN() {
  const file = process.env.SHARDSCALER_SANDBOX;
  if (!file) return undefined;
  const url = new URL(JSON.parse(readFileSync(file, 'utf8')).postgres.adminURL);
  url.search = ''; // the driver takes no sslmode=disable
  const admin = new pg.Client(url.href);
  await admin.connect();
  await admin.query('DROP DATABASE IF EXISTS recorded');
  await admin.query('CREATE DATABASE recorded');
  await admin.end();
  url.pathname = '/recorded';
  return url.href;
}

/** Runs one way on tables that hold only its rows. */
async function record({ way, kind = 'Thing', rows = [], run }) {
  const { db, Site } = models;
  await db.query('TRUNCATE "Thing", "Rule", "Site"');
  await Site.create({ id: 'site' });
  if (rows.length > 0) await models[kind].bulkCreate(rows, { hooks: false });
  messages = [];
  const before = await ids(kind);
  let error;
  try {
    await run(models);
  } catch (e) {
    error = e.name === 'Error' ? e.message : e.name;
  }
  const after = await ids(kind);
  return { way, kind, before, messages: messages.map(steady), after: after.map(steady), error };
}

/** The ids that the catalogue's query returns. */
async function ids(kind) {
  const where = kind === 'Rule' ? 'WHERE "deletedAt" IS NULL' : '';
  const [rows] = await models.db.query(`SELECT id FROM "${kind}" ${where} ORDER BY id`);
  return rows.map((row) => row.id);
}

/** A text without what differs between two runs: ids by default and the time of a soft delete. */
function steady(text) {
  return text
    .replace(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, '00000000-0000-4000-8000-000000000000')
    .replace(/("deletedAt":")20[^"]*"/g, '$12026-01-01T00:00:00.000Z"');
}
