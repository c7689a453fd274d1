import 'reflect-metadata';
import { type DecimalString, IsMoneyText } from '@hoc/shared/kernel';
import { IsBoolean, IsInt, Max, Min, ValidateIf } from 'class-validator';

/** What one LLM run may use before it is signalled. */
export interface ThresholdParams {
  readonly maxExecutionTimeMs: number;
  readonly maxTokens: number;
  readonly maxCostCents: DecimalString;
  /** Whether a failed run is signalled. */
  readonly failureSignal: boolean;
}

const IfGiven = (): PropertyDecorator => ValidateIf((_, value) => value !== undefined);

/** Thresholds to set on a limit; what is absent stays as it is. @see spec controls C.3 */
export class ThresholdParamsUpdate {
  @IfGiven() @IsInt() @Min(1000) @Max(300_000) maxExecutionTimeMs?: number;
  @IfGiven() @IsInt() @Min(256) @Max(200_000) maxTokens?: number;
  @IfGiven() @IsMoneyText() maxCostCents?: string;
  @IfGiven() @IsBoolean() failureSignal?: boolean;
}
