// The ways in which an application changes rows. Each begins with the rows that it names and does one thing; what it throws belongs to it.
import { Op, literal, fn, col, where } from 'sequelize';

/**
 * @typedef {object} Way
 * @property {string} way    what it does, in words
 * @property {string} [kind] the kind whose ids are looked at; Thing if absent
 * @property {object[]} [rows]  rows of that kind beforehand
 * @property {(m: object) => Promise<void>} run  m has the models, the connection db and rollback
 */

const things = (...ids) => ids.map((id) => ({ id, name: `n-${id}`, code: `c-${id}` }));
const rules = (...ids) => ids.map((id) => ({ id, name: `n-${id}` }));
const soft = (...ids) => ids.map((id) => ({ id, name: `n-${id}`, deletedAt: '2026-01-01T00:00:00.000Z' }));

const sited = () => [{ id: 'a', siteId: 'site' }, { id: 'b', siteId: 'site' }, { id: 'c' }];

/** Runs work in a transaction that is rolled back. */
const undone = (db, work) => db.transaction(async (transaction) => {
  await work(transaction);
  throw new Error('rolled back');
});

/** Runs work in a transaction whose COMMIT fails: a foreign key that is checked then leads nowhere. */
const failing = ({ db, Thing }, work) => db.transaction(async (transaction) => {
  await work(transaction);
  await db.query(`UPDATE "Thing" SET "lateId" = 'none' WHERE id = 'keep'`, { transaction });
});

const odd = ['odd"q', 'odd<a>&b', 'odd温度', 'odda\\b', 'odd lead', 'oddnew\nline', 'odd/slash', 'odd..'];
const many = Array.from({ length: 200 }, (_, i) => `big-${String(i).padStart(4, '0')}`);

/** @type {Way[]} */
export const ways = [
  { way: 'create', run: ({ Thing }) => Thing.create({ id: 'a' }) },
  { way: 'create, the id by its UUIDV4 default', run: ({ Thing }) => Thing.create({ name: 'x' }) },
  { way: 'build, then save', run: ({ Thing }) => Thing.build({ id: 'a' }).save() },
  { way: 'bulkCreate of 3', run: ({ Thing }) => Thing.bulkCreate(things('a', 'b', 'c')) },
  { way: 'bulkCreate of none', run: ({ Thing }) => Thing.bulkCreate([]) },
  { way: 'bulkCreate with individualHooks', run: ({ Thing }) => Thing.bulkCreate(things('a', 'b'), { individualHooks: true }) },
  {
    way: 'bulkCreate with ignoreDuplicates, the first id exists', rows: things('a'),
    run: ({ Thing }) => Thing.bulkCreate(things('a', 'b', 'c'), { ignoreDuplicates: true }),
  },
  {
    way: 'bulkCreate with ignoreDuplicates, a row is refused for its unique code', rows: things('a'),
    run: ({ Thing }) => Thing.bulkCreate([{ id: 'b' }, { id: 'phantom', code: 'c-a' }], { ignoreDuplicates: true }),
  },
  {
    way: 'bulkCreate with updateOnDuplicate', rows: things('a'),
    run: ({ Thing }) => Thing.bulkCreate([{ id: 'a', name: 'x' }, { id: 'b' }], { updateOnDuplicate: ['name'], conflictAttributes: ['id'] }),
  },
  {
    way: 'bulkCreate with updateOnDuplicate by the unique code: the row keeps its id', rows: things('a'),
    run: ({ Thing }) => Thing.bulkCreate([{ id: 'other', code: 'c-a', name: 'x' }], { updateOnDuplicate: ['name'], conflictAttributes: ['code'] }),
  },
  {
    way: 'the same with returning: false', rows: things('a'),
    run: ({ Thing }) => Thing.bulkCreate([{ id: 'phantom', code: 'c-a', name: 'x' }],
      { updateOnDuplicate: ['name'], conflictAttributes: ['code'], returning: false }),
  },
  { way: 'upsert of a new row', run: ({ Thing }) => Thing.upsert({ id: 'a' }) },
  { way: 'upsert of a row that exists', rows: things('a'), run: ({ Thing }) => Thing.upsert({ id: 'a', name: 'x' }) },
  {
    way: 'upsert of a new row, then a change of it',
    run: async ({ Thing }) => { await Thing.upsert({ id: 'a' }); await (await Thing.findByPk('a')).update({ name: 'x' }); },
  },
  { way: 'findOrCreate, new', run: ({ Thing }) => Thing.findOrCreate({ where: { id: 'a' } }) },
  { way: 'findOrCreate, exists', rows: things('a'), run: ({ Thing }) => Thing.findOrCreate({ where: { id: 'a' } }) },
  { way: 'findCreateFind, new', run: ({ Thing }) => Thing.findCreateFind({ where: { id: 'a' } }) },
  {
    way: 'findOrBuild, then save',
    run: async ({ Thing }) => { const [row] = await Thing.findOrBuild({ where: { id: 'a' } }); await row.save(); },
  },
  {
    way: 'save after a change', rows: things('a'),
    run: async ({ Thing }) => { const row = await Thing.findByPk('a'); row.name = 'x'; await row.save(); },
  },
  { way: 'save without a change', rows: things('a'), run: async ({ Thing }) => { await (await Thing.findByPk('a')).save(); } },
  { way: 'update of an instance', rows: things('a'), run: async ({ Thing }) => { await (await Thing.findByPk('a')).update({ name: 'x' }); } },
  {
    way: 'another id given to an instance, then save', rows: things('a'),
    run: async ({ Thing }) => { const row = await Thing.findByPk('a'); row.id = 'b'; await row.save(); },
  },
  {
    way: 'setDataValue of the id, then save', rows: things('a'),
    run: async ({ Thing }) => { const row = await Thing.findByPk('a'); row.setDataValue('id', 'b'); await row.save(); },
  },
  { way: 'Model.update where id', rows: things('a', 'b'), run: ({ Thing }) => Thing.update({ name: 'x' }, { where: { id: 'a' } }) },
  { way: 'Model.update where Op.in', rows: things('a', 'b'), run: ({ Thing }) => Thing.update({ name: 'x' }, { where: { id: { [Op.in]: ['a'] } } }) },
  {
    way: 'Model.update with individualHooks', rows: things('a', 'b'),
    run: ({ Thing }) => Thing.update({ name: 'x' }, { where: { id: ['a'] }, individualHooks: true }),
  },
  { way: 'Model.update of the id', rows: things('a'), run: ({ Thing }) => Thing.update({ id: 'b' }, { where: { id: 'a' } }) },
  { way: 'increment', rows: things('a'), run: ({ Thing }) => Thing.increment('count', { where: { id: 'a' } }) },
  { way: 'destroy of an instance', rows: things('a', 'b'), run: async ({ Thing }) => { await (await Thing.findByPk('a')).destroy(); } },
  { way: 'destroy where id', rows: things('a', 'b'), run: ({ Thing }) => Thing.destroy({ where: { id: 'a' } }) },
  { way: 'destroy where id is one of a list', rows: things('a', 'b', 'c'), run: ({ Thing }) => Thing.destroy({ where: { id: ['a', 'b'] } }) },
  { way: 'destroy where id is one of an empty list', rows: things('a'), run: ({ Thing }) => Thing.destroy({ where: { id: [] } }) },
  { way: 'destroy where Op.in', rows: things('a', 'b'), run: ({ Thing }) => Thing.destroy({ where: { id: { [Op.in]: ['a'] } } }) },
  { way: 'destroy where Op.eq', rows: things('a', 'b'), run: ({ Thing }) => Thing.destroy({ where: { id: { [Op.eq]: 'a' } } }) },
  { way: 'destroy where Op.like', rows: things('a', 'b'), run: ({ Thing }) => Thing.destroy({ where: { id: { [Op.like]: 'a%' } } }) },
  { way: 'destroy where Op.or', rows: things('a', 'b'), run: ({ Thing }) => Thing.destroy({ where: { [Op.or]: [{ id: 'a' }, { id: 'none' }] } }) },
  { way: 'destroy where another column', rows: things('a', 'b'), run: ({ Thing }) => Thing.destroy({ where: { name: 'n-a' } }) },
  {
    way: 'destroy where id and name, and the name does not match', rows: things('a'),
    run: ({ Thing }) => Thing.destroy({ where: { id: 'a', name: 'none' } }),
  },
  {
    way: 'destroy where id and Op.or, and that does not match', rows: things('a'),
    run: ({ Thing }) => Thing.destroy({ where: { id: 'a', [Op.or]: [{ name: 'x' }, { name: 'y' }] } }),
  },
  {
    way: 'destroy where id is one of a list and Op.not, and only one matches', rows: things('a', 'b'),
    run: ({ Thing }) => Thing.destroy({ where: { id: ['a', 'b'], [Op.not]: { name: 'n-b' } } }),
  },
  {
    way: 'destroy where id is one of a list, limit 1', rows: things('a', 'b'),
    run: ({ Thing }) => Thing.destroy({ where: { id: ['a', 'b'] }, limit: 1 }),
  },
  {
    way: 'destroy where id in a scope that does not match', rows: things('a'),
    run: ({ Thing }) => Thing.scope('lyon').destroy({ where: { id: 'a' } }),
  },
  { way: 'destroy where literal', rows: things('a', 'b'), run: ({ Thing }) => Thing.destroy({ where: literal(`id = 'a'`) }) },
  { way: 'destroy where a function', rows: things('a', 'b'), run: ({ Thing }) => Thing.destroy({ where: where(fn('lower', col('id')), 'a') }) },
  { way: 'destroy where a list of conditions', rows: things('a', 'b'), run: ({ Thing }) => Thing.destroy({ where: [{ id: 'a' }] }) },
  { way: 'destroy where id is one of a list of one', rows: things('a', 'b'), run: ({ Thing }) => Thing.destroy({ where: { id: ['a'] } }) },
  {
    way: 'destroy with individualHooks', rows: things('a', 'b'),
    run: ({ Thing }) => Thing.destroy({ where: { id: { [Op.in]: ['a', 'b'] } }, individualHooks: true }),
  },
  { way: 'destroy where id of no row', rows: things('a'), run: ({ Thing }) => Thing.destroy({ where: { id: 'none' } }) },
  { way: 'destroy with hooks: false', rows: things('a', 'b'), run: ({ Thing }) => Thing.destroy({ where: { id: 'a' }, hooks: false }) },
  { way: 'truncate', rows: things('a', 'b'), run: ({ Thing }) => Thing.destroy({ truncate: true }) },
  {
    way: 'transaction: create, update, destroy of another', rows: things('a'),
    run: ({ db, Thing }) => db.transaction(async (transaction) => {
      const row = await Thing.create({ id: 'b' }, { transaction });
      await row.update({ name: 'x' }, { transaction });
      await Thing.destroy({ where: { id: 'a' }, transaction });
    }),
  },
  {
    way: 'transaction: create, then destroy of the same',
    run: ({ db, Thing }) => db.transaction(async (transaction) => {
      const row = await Thing.create({ id: 'a' }, { transaction });
      await row.destroy({ transaction });
    }),
  },
  {
    way: 'transaction: destroy, then create of the same id', rows: things('a'),
    run: ({ db, Thing }) => db.transaction(async (transaction) => {
      await Thing.destroy({ where: { id: 'a' }, transaction });
      await Thing.create({ id: 'a' }, { transaction });
    }),
  },
  { way: 'transaction rolled back: create', run: ({ db, Thing }) => undone(db, (transaction) => Thing.create({ id: 'a' }, { transaction })) },
  {
    way: 'transaction rolled back: destroy', rows: things('a'),
    run: ({ db, Thing }) => undone(db, (transaction) => Thing.destroy({ where: { id: 'a' }, transaction })),
  },
  {
    way: 'savepoint released, the outer transaction rolled back: create',
    run: ({ db, Thing }) => undone(db, (outer) => db.transaction({ transaction: outer }, (transaction) => Thing.create({ id: 'a' }, { transaction }))),
  },
  {
    way: 'savepoint released, the outer transaction rolled back: destroy', rows: things('a'),
    run: ({ db, Thing }) => undone(db, (outer) => db.transaction({ transaction: outer },
      (transaction) => Thing.destroy({ where: { id: 'a' }, transaction }))),
  },
  {
    way: 'COMMIT fails (a deferred foreign key): create', rows: things('keep'),
    run: (m) => failing(m, (transaction) => m.Thing.create({ id: 'a' }, { transaction })),
  },
  {
    way: 'COMMIT fails (a deferred foreign key): destroy of another', rows: things('keep', 'a'),
    run: (m) => failing(m, (transaction) => m.Thing.destroy({ where: { id: 'a' }, transaction })),
  },
  {
    way: 'hooks without afterCommit: create, committed later',
    run: ({ db, Thing }) => db.transaction((transaction) => Thing.create({ id: 'a' }, { transaction, early: true })),
  },
  {
    way: 'hooks without afterCommit: create, rolled back',
    run: ({ db, Thing }) => undone(db, (transaction) => Thing.create({ id: 'a' }, { transaction, early: true })),
  },
  {
    way: 'hooks without afterCommit: destroy, rolled back', rows: things('a'),
    run: ({ db, Thing }) => undone(db, (transaction) => Thing.destroy({ where: { id: 'a' }, transaction, early: true })),
  },
  {
    way: 'hooks without afterCommit: destroy of an instance, rolled back', rows: things('a'),
    run: ({ db, Thing }) => undone(db, async (transaction) => (await Thing.findByPk('a')).destroy({ transaction, early: true })),
  },
  {
    way: 'hooks without afterCommit: destroy where Op.in, committed later', rows: things('a'),
    run: ({ db, Thing }) => db.transaction((transaction) => Thing.destroy({ where: { id: { [Op.in]: ['a'] } }, transaction, early: true })),
  },
  {
    way: 'hooks without afterCommit: create, and destroy of another where Op.in, committed later', rows: things('a'),
    run: ({ db, Thing }) => db.transaction(async (transaction) => {
      await Thing.create({ id: 'b' }, { transaction, early: true });
      await Thing.destroy({ where: { id: { [Op.in]: ['a'] } }, transaction, early: true });
    }),
  },
  { way: 'raw INSERT', run: ({ db }) => db.query(`INSERT INTO "Thing" (id) VALUES ('a')`) },
  { way: 'raw UPDATE of the id', rows: things('a'), run: ({ db }) => db.query(`UPDATE "Thing" SET id = 'b' WHERE id = 'a'`) },
  { way: 'raw DELETE', rows: things('a', 'b'), run: ({ db }) => db.query(`DELETE FROM "Thing" WHERE id = 'a'`) },
  { way: 'queryInterface.bulkInsert, a seeder', run: ({ db }) => db.getQueryInterface().bulkInsert('Thing', [{ id: 'a' }]) },
  { way: 'queryInterface.bulkDelete', rows: things('a', 'b'), run: ({ db }) => db.getQueryInterface().bulkDelete('Thing', { id: 'a' }) },
  {
    way: 'destroy of the Site, ON DELETE CASCADE in the database', rows: sited(),
    run: ({ Site }) => Site.destroy({ where: { id: 'site' } }),
  },
  {
    way: 'destroy of the Site by a condition with individualHooks, onDelete cascade and hooks: true', rows: sited(),
    run: ({ Site }) => Site.destroy({ where: { id: 'site' }, individualHooks: true }),
  },
  {
    way: 'destroy of the instance of the Site, onDelete cascade and hooks: true', rows: sited(),
    run: async ({ Site }) => { await (await Site.findByPk('site')).destroy(); },
  },
  {
    way: 'transaction rolled back: destroy of the instance of the Site, onDelete cascade and hooks: true', rows: sited(),
    run: ({ db, Site }) => undone(db, async (transaction) => { await (await Site.findByPk('site', { transaction })).destroy({ transaction }); }),
  },
  { way: 'create through an association', run: async ({ Site }) => { await (await Site.findByPk('site')).createThing({ id: 'a' }); } },
  {
    way: 'create of a Site with its Things', run: ({ Site, Thing }) => Site.create({ id: 'new', Things: things('a', 'b') }, { include: [Thing] }),
  },
  {
    way: 'bulkCreate of Sites with their Things',
    run: ({ Site, Thing }) => Site.bulkCreate([{ id: 'new', Things: things('a', 'b') }], { include: [Thing] }),
  },
  { way: 'odd ids', run: async ({ Thing }) => { for (const id of odd) await Thing.create({ id }); } },
  { way: 'odd ids destroyed by a list', rows: odd.map((id) => ({ id })), run: ({ Thing }) => Thing.destroy({ where: { id: odd } }) },
  { way: 'bulkCreate of 200', run: ({ Thing }) => Thing.bulkCreate(many.map((id) => ({ id }))) },
  { way: 'destroy of these by a list of 200', rows: many.map((id) => ({ id })), run: ({ Thing }) => Thing.destroy({ where: { id: many } }) },
  { way: 'paranoid: create', kind: 'Rule', run: ({ Rule }) => Rule.create({ id: 'a' }) },
  { way: 'paranoid: destroy of an instance', kind: 'Rule', rows: rules('a'), run: async ({ Rule }) => { await (await Rule.findByPk('a')).destroy(); } },
  {
    way: 'paranoid: destroy of an instance, then restore', kind: 'Rule', rows: rules('a'),
    run: async ({ Rule }) => { const row = await Rule.findByPk('a'); await row.destroy(); await row.restore(); },
  },
  { way: 'paranoid: Model.restore', kind: 'Rule', rows: soft('a'), run: ({ Rule }) => Rule.restore({ where: { id: 'a' } }) },
  {
    way: 'paranoid: Model.restore, then a change of the row', kind: 'Rule', rows: soft('a'),
    run: async ({ Rule }) => { await Rule.restore({ where: { id: 'a' } }); await (await Rule.findByPk('a')).update({ name: 'x' }); },
  },
  {
    way: 'paranoid: Model.update of deletedAt to null, paranoid: false, individualHooks', kind: 'Rule', rows: soft('a'),
    run: ({ Rule }) => Rule.update({ deletedAt: null }, { where: { id: 'a' }, paranoid: false, individualHooks: true }),
  },
  {
    way: 'paranoid: create of a row with deletedAt', kind: 'Rule',
    run: ({ Rule }) => Rule.create({ id: 'a', deletedAt: new Date(0) }),
  },
  { way: 'paranoid: destroy where id', kind: 'Rule', rows: rules('a', 'b'), run: ({ Rule }) => Rule.destroy({ where: { id: 'a' } }) },
  { way: 'paranoid: destroy where Op.in', kind: 'Rule', rows: rules('a', 'b'), run: ({ Rule }) => Rule.destroy({ where: { id: { [Op.in]: ['a'] } } }) },
  { way: 'paranoid: destroy with force', kind: 'Rule', rows: rules('a', 'b'), run: ({ Rule }) => Rule.destroy({ where: { id: 'a' }, force: true }) },
  { way: 'paranoid: Model.update where id', kind: 'Rule', rows: rules('a'), run: ({ Rule }) => Rule.update({ name: 'x' }, { where: { id: 'a' } }) },
  {
    way: 'paranoid: Model.update of deletedAt', kind: 'Rule', rows: rules('a', 'b'),
    run: ({ Rule }) => Rule.update({ deletedAt: new Date(0) }, { where: { id: 'a' } }),
  },
  {
    way: 'paranoid: Model.update of deletedAt, paranoid: false', kind: 'Rule', rows: rules('a', 'b'),
    run: ({ Rule }) => Rule.update({ deletedAt: new Date(0) }, { where: { id: 'a' }, paranoid: false }),
  },
  {
    way: 'paranoid: update of deletedAt of an instance', kind: 'Rule', rows: rules('a', 'b'),
    run: async ({ Rule }) => { await (await Rule.findByPk('a')).update({ deletedAt: new Date(0) }); },
  },
  {
    way: 'paranoid: Model.update of deletedAt to null, paranoid: false', kind: 'Rule', rows: soft('a'),
    run: ({ Rule }) => Rule.update({ deletedAt: null }, { where: { id: 'a' }, paranoid: false }),
  },
  { way: 'paranoid: create with the id of a soft-deleted row', kind: 'Rule', rows: soft('a'), run: ({ Rule }) => Rule.create({ id: 'a' }) },
  {
    way: 'paranoid: destroy, then upsert over the soft-deleted row', kind: 'Rule', rows: rules('a'),
    run: async ({ Rule }) => { await Rule.destroy({ where: { id: 'a' } }); await Rule.upsert({ id: 'a', deletedAt: null }); },
  },
  { way: 'paranoid: findOrCreate of a soft-deleted id', kind: 'Rule', rows: soft('a'), run: ({ Rule }) => Rule.findOrCreate({ where: { id: 'a' } }) },
];

/** The ways whose hooks are those of the platform's note, which fill in no keys. */
export const asNoted = [
  { way: 'hooks as noted: create', run: ({ Thing }) => Thing.create({ id: 'a' }) },
  { way: 'hooks as noted: bulkCreate', run: ({ Thing }) => Thing.bulkCreate(things('a', 'b')) },
];
