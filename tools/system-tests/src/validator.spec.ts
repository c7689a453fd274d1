import { build, REPOSITORY, run } from './repository';

/** What a consumer's validator says of classes of the packages, and what the packages say of a class of the consumer. */
const VERDICTS = `
const verdicts = ({ IsInt, useContainer, validateSync, Validator }, { RunCreate }, { CreatePolicyLimitRequest }, { validateOrThrow }) => {
  class Mine extends RunCreate {}
  IsInt()(Mine.prototype, 'wanted');
  const rulesOf = (type, plain) =>
    validateSync(Object.assign(new type(), plain), { whitelist: true, forbidNonWhitelisted: true })
      .map(({ property, constraints }) => property + ' ' + Object.keys(constraints)).sort();
  const refusal = (plain) => {
    try {
      return validateOrThrow(Mine, plain).wanted;
    } catch (error) {
      return error.details.fields.map(({ path, rule }) => path + ' ' + rule);
    }
  };
  const run = { agentId: 'a', originSystemId: 's', goal: 'g' };
  const said = {
    run: [rulesOf(RunCreate, run), rulesOf(RunCreate, { ...run, agentId: 'legacy-unknown', goal: 1, more: 1 })],
    mine: [rulesOf(Mine, { ...run, wanted: 1 }), rulesOf(Mine, { ...run, goal: '', wanted: 1.5 })],
    ours: [refusal({ ...run, wanted: 7 }), refusal({ ...run, agentId: '', wanted: 1.5 })],
    limit: rulesOf(CreatePolicyLimitRequest, { name: 'a', limitType: 'COST_CENTS', maxValue: '-1' }),
  };
  const asked = [];
  const mine = { get: (type) => (asked.push(type === Validator), new type()) };
  useContainer(mine);
  refusal({ ...run, wanted: 1.5 });
  return { ...said, container: asked.includes(true) };
};
`;
const EXPECTED = {
  run: [[], ['agentId notEquals', 'goal isPlainText', 'more whitelistValidation']],
  mine: [[], ['goal isPlainText', 'wanted isInt']],
  ours: [7, ['wanted isInt', 'agentId isIdText']],
  limit: ['limitCategory isIn', 'maxValue isPositiveMoneyText'],
  container: true,
};

const PACKAGES = ['@hoc/activity/schemas', '@hoc/controls/schemas', '@hoc/shared/kernel'];
const ENTRIES = ['@hoc/shared', '@hoc/activity', '@hoc/controls', ...PACKAGES];

/** What a script prints, in a process that sees the built packages. */
const print = (script: string, ...flags: string[]): unknown =>
  JSON.parse(run(process.execPath, [...flags, '-e', script], { cwd: REPOSITORY, env: { NODE_OPTIONS: '' } }));

/** As if the installed version of class-validator kept its parts elsewhere, or let none in. */
const ELSEWHERE = `
const Module = require('node:module');
const resolve = Module._resolveFilename;
let refused = 0;
Module._resolveFilename = function (request, ...rest) {
  if (!request.startsWith('class-validator/')) return resolve.call(this, request, ...rest);
  refused += 1;
  throw Object.assign(new Error('not exported: ' + request), { code: 'ERR_PACKAGE_PATH_NOT_EXPORTED' });
};
`;

beforeAll(build);

describe('class-validator, of which the built packages load parts', () => {
  it.each(ENTRIES)('%s loads nothing that it has no use for', (entry) => {
    const loaded = print(`
      require(${JSON.stringify(entry)});
      const paths = Object.keys(require.cache).map((path) => path.replaceAll('\\\\', '/'));
      console.log(JSON.stringify({
        parts: paths.filter((path) => path.includes('/class-validator/cjs/')).length > 20,
        whole: paths.filter((path) => /libphonenumber-js|class-validator\\/cjs\\/(index|decorator\\/decorators)\\.js$/.test(path)),
      }));`);
    expect(loaded).toEqual({ parts: true, whole: [] });
  });

  it.each([
    ['first', ['class-validator', ...PACKAGES]],
    ['last', [...PACKAGES, 'class-validator']],
  ])("is the consumer's own copy, loaded %s", (_when, order) => {
    const loads = order.map((name) => `require(${JSON.stringify(name)});`).join('');
    const given = ['class-validator', ...PACKAGES].map((name) => `require(${JSON.stringify(name)})`);
    expect(print(`${VERDICTS}${loads}console.log(JSON.stringify(verdicts(${given.join(', ')})));`)).toEqual(EXPECTED);
  });

  it("is the consumer's own copy for an ES module", () => {
    const given = ['class-validator', ...PACKAGES].map((name) => `await import(${JSON.stringify(name)})`);
    const script = `${VERDICTS}console.log(JSON.stringify(verdicts(${given.join(', ')})));`;
    expect(print(script, '--input-type=module')).toEqual(EXPECTED);
  });

  it('is loaded whole where the parts are not found', () => {
    const given = ['class-validator', ...PACKAGES].map((name) => `require(${JSON.stringify(name)})`);
    const script = `${ELSEWHERE}${VERDICTS}const said = verdicts(${given.join(', ')});
      for (const entry of ${JSON.stringify(ENTRIES)}) require(entry);
      console.log(JSON.stringify({ said, refused: refused > 0 }));`;
    expect(print(script)).toEqual({ said: EXPECTED, refused: true });
  });
});
