// Runs inside the copy: plants one violation at a time as a real file, lints that file, takes it away again.
//   node tools/arch/plant.mjs     (working folder and NX_WORKSPACE_ROOT_PATH: the copy)
import { existsSync, mkdirSync, readdirSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { ESLint } from 'eslint';
import { plantedCases } from './planted-cases.mjs';

/** Typed rules need the file in a TypeScript program, which takes seconds per planted file and guards no boundary. */
const eslint = new ESLint({
  overrideConfig: [
    {
      files: ['**/*.ts'],
      languageOptions: { parserOptions: { projectService: false } },
      rules: {
        '@typescript-eslint/no-floating-promises': 'off',
        '@typescript-eslint/no-misused-promises': 'off',
        '@typescript-eslint/switch-exhaustiveness-check': 'off',
        '@typescript-eslint/consistent-type-imports': 'off',
      },
    },
  ],
});

const cases = plantedCases();
let wrong = 0;
for (const planted of cases) {
  const verdict = await lintPlanted(planted);
  if (!verdict) continue;
  wrong++;
  console.error(`${verdict}\n    in ${planted.file}`);
}
console.log(JSON.stringify({ cases: cases.length, violations: cases.filter((c) => c.rules.length).length, wrong }));

async function lintPlanted({ name, file, code, rules }) {
  if (existsSync(file)) return `BLOCKED ${name}: a file of that name is there already`;
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, code);
  try {
    const results = await eslint.lintFiles([file]);
    const errors = results.flatMap((result) => result.messages.filter((message) => message.severity === 2));
    const fatal = errors.find((message) => message.fatal);
    if (fatal) return `PARSE   ${name}: ${fatal.message}`;
    const named = new Set(errors.map((message) => message.ruleId));
    const missed = rules.filter((rule) => !named.has(rule));
    if (missed.length) return `MISSED  ${name}: ${missed.join(', ')} (reported: ${[...named].join(', ') || 'nothing'})`;
    if (!rules.length && errors.length)
      return `FALSE   ${name}: ${errors[0].ruleId} ${errors[0].message.slice(0, 160)}`;
    return undefined;
  } catch (error) {
    return `BROKEN  ${name}: ${error.message.split('\n')[0]}`;
  } finally {
    rmSync(file);
    removeEmpty(dirname(file));
  }
}

function removeEmpty(folder) {
  if (folder === '.' || readdirSync(folder).length) return;
  rmdirSync(folder);
  removeEmpty(dirname(folder));
}
