export {
  DEFAULT_RISK_LEVEL,
  maxRiskLevel,
  maxRiskLevelForSignals,
  RISK_LEVEL_PRIORITY,
  riskLevelForSignal,
  SIGNAL_TO_RISK_LEVEL,
  THRESHOLD_SIGNALS,
  type ThresholdSignal,
  UNKNOWN_SIGNAL_RISK_LEVEL,
} from './run-signal.schema';
