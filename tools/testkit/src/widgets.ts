import type { MigrationInterface, QueryRunner } from 'typeorm';
import type { DatabaseContent } from './databases';

class Widgets1700000000001 implements MigrationInterface {
  readonly name = 'Widgets1700000000001';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`CREATE TABLE makers (id text PRIMARY KEY)`);
    await runner.query(
      `CREATE TABLE widgets (id text PRIMARY KEY, maker_id text NOT NULL REFERENCES makers, n integer NOT NULL, details jsonb, made_at timestamptz)`,
    );
    await runner.query(`CREATE INDEX ix_widgets_n ON widgets (n)`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE widgets, makers');
  }
}

/** The smallest schema that the testkit's own specs need: it knows no domain. */
export const widgets: DatabaseContent = { entities: [], migrations: [Widgets1700000000001] };
