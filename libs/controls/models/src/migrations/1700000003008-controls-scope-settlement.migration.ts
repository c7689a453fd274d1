import type { MigrationInterface, QueryRunner } from 'typeorm';

/** What an attempt under a scope cost in the end: two columns of `execution_scope_attempts`. */
export class ControlsScopeSettlement1700000003008 implements MigrationInterface {
  readonly name = 'ControlsScopeSettlement1700000003008';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      ALTER TABLE execution_scope_attempts
        ADD COLUMN actual_cost_cents numeric(20,6),
        ADD COLUMN settled_at timestamptz,
        ADD CONSTRAINT ck_execution_scope_attempts_actual_cost_cents
          CHECK (actual_cost_cents >= 0 AND actual_cost_cents < 'NaN'),
        ADD CONSTRAINT ck_execution_scope_attempts_settlement
          CHECK ((actual_cost_cents IS NULL) = (settled_at IS NULL))`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE execution_scope_attempts DROP COLUMN settled_at, DROP COLUMN actual_cost_cents');
  }
}
