// Writes the public surface of each subpath, name by name with its signature, to api/; every export needs a doc comment.
//   node tools/pack/api-report.mjs [--check]      --check writes nothing and fails where a report differs
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { CompilerState, Extractor, ExtractorConfig } from '@microsoft/api-extractor';
import { buildPackages, packages } from './packages.mjs';

const FOLDER = 'api';
const check = process.argv.includes('--check');
const root = process.cwd();

buildPackages();
const folder = mkdtempSync(join(tmpdir(), 'hoc-api-'));
const problems = [];
const undocumented = [];
let reports = new Map();
try {
  const subpaths = packages().flatMap((entry) =>
    entry.subpaths.map((subpath) => ({ ...subpath, root: entry.root, domain: entry.domain })),
  );
  reports = report(subpaths);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
if (check) compare();
else write();

for (const problem of problems) console.error(problem);
for (const name of undocumented) console.error(`no doc comment: ${name}`);
console.log(
  `${reports.size} reports, ${problems.length} problems, ${undocumented.length} exports without a doc comment`,
);
process.exitCode = problems.length + undocumented.length ? 1 : 0;

/** Names whose every declaration stands in the report as undocumented: a type and a list of one name share a comment. */
function undocumentedIn(text) {
  const declared =
    /^\/\/ @(\w+)([^\n]*)\n(?:\/\/[^\n]*\n)*export (?:declare |abstract |default )*(?:const|let|function|class|interface|type|enum|namespace) (\w+)/gm;
  const comments = new Map();
  for (const [, , note, name] of text.matchAll(declared))
    comments.set(name, (comments.get(name) ?? false) || !note.includes('undocumented'));
  return [...comments].filter(([, documented]) => !documented).map(([name]) => name);
}

/** One TypeScript program serves all the entry points. */
function report(subpaths) {
  const configs = subpaths.map((subpath) => ({ subpath, config: configOf(subpath) }));
  const compilerState = CompilerState.create(configs[0].config, {
    additionalEntryPoints: configs.map(({ config }) => config.mainEntryPointFilePath),
  });
  return new Map(
    configs.map(({ subpath, config }) => {
      Extractor.invoke(config, {
        compilerState,
        localBuild: true,
        messageCallback: (message) => hear(message, subpath),
      });
      const text = readFileSync(join(folder, fileOf(subpath)), 'utf8');
      for (const name of undocumentedIn(text)) undocumented.push(`${name} of ${subpath.specifier}`);
      return [fileOf(subpath), text];
    }),
  );
}

function fileOf({ domain, layer }) {
  return `${domain}.${layer}.api.md`;
}

function configOf(subpath) {
  return ExtractorConfig.prepare({
    configObject: {
      projectFolder: resolve(subpath.root),
      mainEntryPointFilePath: resolve(subpath.types),
      compiler: { overrideTsconfig: tsconfig(), skipLibCheck: true },
      apiReport: {
        enabled: true,
        reportFileName: fileOf(subpath).replace(/\.api\.md$/, ''),
        reportFolder: folder,
        reportTempFolder: join(folder, 'temp'),
      },
      docModel: { enabled: false },
      dtsRollup: { enabled: false },
      tsdocMetadata: { enabled: false },
      newlineKind: 'lf',
      messages: {
        compilerMessageReporting: { default: { logLevel: 'error' } },
        extractorMessageReporting: {
          default: { logLevel: 'none' },
          'ae-undocumented': { logLevel: 'none', addToApiReportFile: false },
        },
        tsdocMessageReporting: { default: { logLevel: 'none' } },
      },
    },
    configObjectFullPath: undefined,
    packageJsonFullPath: resolve(subpath.root, 'package.json'),
  });
}

/** The published declarations, as a consumer's compiler finds them: without the condition that leads to the sources. */
function tsconfig() {
  const { compilerOptions } = JSON.parse(readFileSync('tsconfig.base.json', 'utf8'));
  const typeRoots = [join(root, 'node_modules/@types')];
  return { compilerOptions: { ...compilerOptions, customConditions: [], types: ['node'], typeRoots } };
}

function hear(message, subpath) {
  message.handled = true;
  if (message.logLevel === 'error') problems.push(`${subpath.specifier}: ${message.messageId} ${message.text}`);
}

function compare() {
  for (const [file, text] of reports) {
    const path = join(FOLDER, file);
    if (!existsSync(path)) problems.push(`${path} is missing: run "npm run api-report" and commit it`);
    else if (readFileSync(path, 'utf8') !== text)
      problems.push(`${path} differs: run "npm run api-report", review and commit it`);
  }
  for (const file of existsSync(FOLDER) ? readdirSync(FOLDER) : [])
    if (!reports.has(file)) problems.push(`${join(FOLDER, file)} belongs to no subpath`);
}

function write() {
  rmSync(FOLDER, { recursive: true, force: true });
  mkdirSync(FOLDER);
  for (const [file, text] of reports) writeFileSync(join(FOLDER, file), text);
}
