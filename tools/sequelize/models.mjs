// The platform's models, and the hooks of its own note with the keys filled in: each publishes after the commit.
import { DataTypes, Sequelize } from 'sequelize';

/**
 * Connects to an empty database and makes the tables.
 *
 * @param {string} dsn      a PostgreSQL URL
 * @param {(message: object) => void} publish  called with each message that a hook publishes
 */
export async function platform(dsn, publish) {
  const db = new Sequelize(dsn, { dialect: 'postgres', logging: false });
  const id = { type: DataTypes.STRING, primaryKey: true };
  const Site = db.define('Site', { id }, { timestamps: false, freezeTableName: true });
  const Thing = db.define('Thing', {
    id: { ...id, defaultValue: DataTypes.UUIDV4 },
    name: DataTypes.STRING,
    code: { type: DataTypes.STRING, unique: true },
    count: DataTypes.INTEGER,
  }, { timestamps: false, freezeTableName: true, scopes: { lyon: { where: { name: 'lyon' } } } });
  const Rule = db.define('Rule', { id, name: DataTypes.STRING },
    { freezeTableName: true, paranoid: true, createdAt: false, updatedAt: false });
  Site.hasMany(Thing, { foreignKey: 'siteId', onDelete: 'CASCADE', hooks: true });
  Thing.belongsTo(Site, { foreignKey: 'siteId' });
  // A foreign key that is checked at COMMIT only, for the transactions that fail there.
  Thing.belongsTo(Site, { as: 'late', foreignKey: { name: 'lateId' }, constraints: false });
  for (const model of [Thing, Rule]) notify(model, publish);
  await db.sync();
  await db.query('ALTER TABLE "Thing" ADD FOREIGN KEY ("lateId") REFERENCES "Site" (id) DEFERRABLE INITIALLY DEFERRED');
  return { db, Site, Thing, Rule };
}

/** Adds the platform's hooks to a model. */
function notify(model, publish) {
  const t = model.name;
  const key = (row) => ({ id: row.id });
  const send = (options, message) => {
    if (options.early || !options.transaction) publish(message);
    else options.transaction.afterCommit(() => publish(message));
  };
  model.addHook('afterCreate', (row, o) => send(o, { o: 'c', t, k: key(row), instance: row.toJSON() }));
  model.addHook('afterUpdate', (row, o) => send(o, { o: 'u', t, k: key(row), instance: row.toJSON() }));
  model.addHook('afterDestroy', (row, o) => send(o, { o: 'd', t, k: key(row), instance: row.toJSON() }));
  model.addHook('afterBulkCreate', (rows, o) => send(o, { o: 'bc', t, keys: rows.map((row) => row.id) }));
  model.addHook('afterBulkUpdate', (o) => send(o, { o: 'bu', t, where: o.where }));
  model.addHook('afterBulkDestroy', (o) => send(o, { o: 'bd', t, where: o.where }));
}

/** Adds the hooks as the platform's note writes them: neither property exists, so JSON leaves both out. */
export function notifyAsNoted(model, publish) {
  const t = model.name;
  model.addHook('afterCreate', (row) => publish({ o: 'c', t, k: row.primaryKey, instance: row.toJSON() }));
  model.addHook('afterBulkCreate', (rows) => publish({ o: 'bc', t, keys: rows.primaryKeys }));
}
