// Releases in a clone what scripted commits changed, and looks at versions, peer ranges, tags and changelogs.
//   node tools/release/rehearse.mjs
import { appendFileSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { dirname, join } from 'node:path';
import { arch } from '../../architecture/constraints.mjs';
import { cloneWorkspace, manifestIn, versionIn } from './clone.mjs';

const DOMAINS = arch.domains;
const others = DOMAINS.filter((domain) => domain !== 'shared');

/** What is committed, and which packages move how. In 0.x a breaking change moves the minor, everything else the patch. */
const SCENARIOS = [
  {
    commit: 'fix(activity): rehearsed driver fix',
    file: 'libs/activity/drivers/src/rehearsal.driver.ts',
    bumps: { activity: 'patch' },
    entries: ['activity'],
  },
  {
    commit: 'feat: rehearsed engine feature without a scope',
    file: 'libs/analytics/engines/src/rehearsal.engine.ts',
    bumps: { analytics: 'patch' },
    entries: ['analytics'],
  },
  {
    commit: 'fix(shared): rehearsed kernel fix',
    file: 'libs/shared/kernel/src/rehearsal.ts',
    bumps: Object.fromEntries(DOMAINS.map((domain) => [domain, 'patch'])),
    entries: ['shared'],
  },
  {
    commit: `feat(${DOMAINS.join(',')})!: rehearsed breaking change of the kernel`,
    file: 'libs/shared/kernel/src/rehearsal.ts',
    bumps: Object.fromEntries(DOMAINS.map((domain) => [domain, 'minor'])),
    entries: ['shared'],
  },
  {
    commit: 'feat(controls)!: rehearsed breaking change of one domain',
    file: 'libs/controls/schemas/src/rehearsal.schema.ts',
    bumps: { controls: 'minor' },
    entries: ['controls'],
  },
  {
    commit: 'test(activity): rehearsed test',
    file: 'libs/activity/drivers/src/rehearsal.driver.spec.ts',
    bumps: {},
    entries: [],
  },
  { commit: 'docs: rehearsed documentation', file: 'libs/activity/README.md', bumps: {}, entries: [] },
];

const problems = [];
const clone = cloneWorkspace(process.cwd(), DOMAINS);
try {
  for (const scenario of SCENARIOS) await rehearse(scenario);
  await endState();
} finally {
  clone.remove();
}
for (const problem of problems) console.error(problem);
console.log(`${SCENARIOS.length} releases rehearsed, ${problems.length} problems`);
process.exitCode = problems.length ? 1 : 0;

async function rehearse({ commit, file, bumps, entries }) {
  const say = (text) => problems.push(`"${commit}": ${text}`);
  const before = versions();
  const path = join(clone.path, file);
  mkdirSync(dirname(path), { recursive: true });
  appendFileSync(
    path,
    file.endsWith('.md') ? '\nRehearsed.\n' : `/** Rehearsed. */\nexport const rehearsed${Date.now()} = 1;\n`,
  );
  clone.git('add', '-A');
  clone.git('commit', '-q', '-m', commit);

  const released = await clone.run('node_modules/.bin/nx', 'release', '--skip-publish');
  if (released.status !== 0) return say(`nx release failed:\n${released.text}`);
  const after = versions();
  for (const domain of DOMAINS) {
    const wanted = bumped(before[domain], bumps[domain]);
    if (after[domain] !== wanted) say(`${domain} went from ${before[domain]} to ${after[domain]}, not to ${wanted}`);
    if (bumps[domain] && !tags().includes(`@hoc/${domain}@${wanted}`)) say(`no tag @hoc/${domain}@${wanted}`);
  }
  for (const domain of others) {
    const peer = manifestIn(clone.path, domain).peerDependencies['@hoc/shared'];
    if (!inRange(after.shared, peer)) say(`${domain} wants @hoc/shared ${peer}, which ${after.shared} is not`);
  }
  const subject = commit.replace(/^[^:]*: /, '');
  for (const domain of entries)
    if (!topEntry(domain).includes(subject)) say(`the changelog of ${domain} doesn't say "${subject}"`);
  // Nx gives a package only the commits that touched its folder; of what happened in shared, a domain's entry names the version.
  const followers = entries.includes('shared') ? others : [];
  for (const domain of followers)
    if (!topEntry(domain).includes(`Updated @hoc/shared to ${after.shared}`))
      say(`the changelog of ${domain} doesn't name @hoc/shared ${after.shared}:\n${topEntry(domain)}`);
  if (clone.git('status', '--porcelain').trim()) say(`left uncommitted: ${clone.git('status', '--porcelain')}`);
  console.log(`${commit}: ${DOMAINS.map((domain) => `${domain} ${after[domain]}`).join(', ')}`);
}

/** The lock fits the manifests, the five build, and publishing would publish these five. */
async function endState() {
  const lock = await clone.run('npm', 'ci', '--dry-run', '--ignore-scripts', '--no-audit');
  if (lock.status !== 0) problems.push(`npm ci would fail:\n${lock.text}`);
  const names = DOMAINS.map((domain) => `@hoc/${domain}`);
  const built = await clone.run(
    'node_modules/.bin/nx',
    'run-many',
    '-t',
    'build',
    '-p',
    names.join(),
    '--outputStyle=static',
  );
  if (built.status !== 0) problems.push(`the build fails:\n${built.text}`);
  const registry = await emptyRegistry();
  const published = await clone.run(
    'node_modules/.bin/nx',
    'release',
    'publish',
    '--dry-run',
    `--registry=${registry.url}`,
  );
  registry.close();
  const missing = names.filter((name) => !published.text.includes(name));
  if (published.status !== 0 || missing.length)
    problems.push(`publish --dry-run (${missing.join(', ')}):\n${published.text}`);
}

/** A registry that has no package: the rehearsal asks no real one what is published. */
function emptyRegistry() {
  const server = createServer((_request, response) =>
    response.writeHead(404, { 'content-type': 'application/json' }).end('{}'),
  );
  return new Promise((listening) =>
    server.listen(0, '127.0.0.1', () =>
      listening({
        url: `http://127.0.0.1:${server.address().port}/`,
        close: () => (server.closeAllConnections(), server.close()),
      }),
    ),
  );
}

function versions() {
  return Object.fromEntries(DOMAINS.map((domain) => [domain, versionIn(clone.path, domain)]));
}

function tags() {
  return clone.git('tag', '--points-at', 'HEAD').split('\n');
}

function bumped(version, kind) {
  const [major, minor, patch] = version.split('.').map(Number);
  if (kind === 'minor') return `${major}.${minor + 1}.0`;
  return kind === 'patch' ? `${major}.${minor}.${patch + 1}` : version;
}

/** `^0.x.y`: same minor, patch not smaller. */
function inRange(version, range) {
  const [have, want] = [version, range.replace(/^\^/, '')].map((text) => text.split('.').map(Number));
  return range.startsWith('^') && have[0] === want[0] && have[1] === want[1] && have[2] >= want[2];
}

/** The newest entry of a package's changelog. */
function topEntry(domain) {
  const file = join(clone.path, 'libs', domain, 'CHANGELOG.md');
  return existsSync(file) ? (readFileSync(file, 'utf8').split(/^## /m)[1] ?? '') : '';
}
