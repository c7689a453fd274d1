import { InvalidArgumentError } from '@hoc/shared/kernel';
import { maxRiskLevel, maxRiskLevelForSignals, riskLevelForSignal, SIGNAL_TO_RISK_LEVEL } from './run-signal.schema';

describe('signals', () => {
  it('raise to their level; unknown names to NEAR_THRESHOLD', () => {
    expect(SIGNAL_TO_RISK_LEVEL).toEqual({
      EXECUTION_TIME_EXCEEDED: 'AT_RISK',
      TOKEN_LIMIT_EXCEEDED: 'AT_RISK',
      COST_LIMIT_EXCEEDED: 'AT_RISK',
      RUN_FAILED: 'VIOLATED',
    });
    expect(riskLevelForSignal('SOMETHING_NEW')).toBe('NEAR_THRESHOLD');
    expect(maxRiskLevelForSignals([])).toBe('NORMAL');
    expect(maxRiskLevelForSignals(['RUN_FAILED', 'COST_LIMIT_EXCEEDED'])).toBe('VIOLATED');
    expect(maxRiskLevel(['NEAR_THRESHOLD', 'AT_RISK', 'NORMAL'])).toBe('AT_RISK');
  });
  it.each(['bad name', '', 'a', 'A'.repeat(65), 'constructor', null])('refuses %p', (name) => {
    expect(() => riskLevelForSignal(name as string)).toThrow(InvalidArgumentError);
  });
});
