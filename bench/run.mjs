// node bench/run.mjs [--rounds=N] [job …]: one process per job, so that no job inherits another's garbage. After a build.
import { spawnSync } from 'node:child_process';
import { JOBS } from './lib/targets.mjs';

const named = process.argv.slice(2).filter((arg) => !arg.startsWith('--'));
const flags = process.argv.slice(2).filter((arg) => arg.startsWith('--'));
for (const job of named.length > 0 ? named : JOBS) {
  const run = spawnSync(process.execPath, [new URL(`jobs/${job}.mjs`, import.meta.url).pathname, ...flags], {
    stdio: 'inherit',
  });
  if (run.status !== 0) process.exitCode = 1;
}
