import { InvalidArgumentError } from '@hoc/shared/kernel';
import fc from 'fast-check';
import { computeSignalFingerprint, computeSignalFingerprintFromRow } from './signal-identity.engine';

const identity = { signalType: 'cost_risk', dimension: 'run:run-1', source: 'agent', tenantId: 't-a' };

it('F29: the same parts, the same fingerprint; another tenant, another one', () => {
  expect(computeSignalFingerprint(identity)).toBe('3a403a350392e4f5219cd3f8237aded8');
  expect(computeSignalFingerprint({ ...identity, tenantId: 't-b' })).toBe('e6b57f1f386881d80d32a3da682601e2');
  expect(computeSignalFingerprintFromRow({ ...identity, more: 1 })).toBe('3a403a350392e4f5219cd3f8237aded8');
});

it('law: two identities have one fingerprint exactly when all four parts are equal', () => {
  const part = fc.string({ minLength: 1, maxLength: 3, unit: fc.constantFrom('a', ':', '"', ',') });
  const any = fc.record({ signalType: part, dimension: part, source: part, tenantId: part });
  fc.assert(
    fc.property(any, any, (a, b) => {
      const equal = JSON.stringify(a) === JSON.stringify(b);
      expect(computeSignalFingerprint(a) === computeSignalFingerprint(b)).toBe(equal);
    }),
    { numRuns: 500 },
  );
});

it.each(['signalType', 'dimension', 'source', 'tenantId'])('%s is required', (name) => {
  for (const value of [undefined, null, '', 7])
    expect(() => computeSignalFingerprintFromRow({ ...identity, [name]: value })).toThrow(InvalidArgumentError);
});
