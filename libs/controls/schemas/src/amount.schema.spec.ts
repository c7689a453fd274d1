import { InvalidArgumentError } from '@hoc/shared/kernel';
import { assertAmount } from './amount.schema';

it.each([
  ['0', '0'],
  ['007.50', '7.5'],
  ['0.000001', '0.000001'],
  ['99999999999999.999999', '99999999999999.999999'],
])('%s is %s', (given, amount) => {
  expect(assertAmount(given, 'amount')).toBe(amount);
});

it.each([
  ...[
    '1e3',
    '-1',
    '-0',
    '-0.0',
    '+1',
    ' 1',
    '1 ',
    '1.',
    '.5',
    '0x1',
    'NaN',
    '１',
    '1.0000001',
    '1'.repeat(15),
    '',
    '1\n',
  ],
  ...[0, 1, 0.1, 1n, null, undefined, {}, ['1']],
])('%p is no amount', (given) => {
  const call = (): string => assertAmount(given, 'maxValue');
  expect(call).toThrow(InvalidArgumentError);
  expect(call).toThrow(expect.objectContaining({ details: expect.objectContaining({ field: 'maxValue' }) as unknown }));
});
