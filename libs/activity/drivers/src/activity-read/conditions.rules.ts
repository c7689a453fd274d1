/** A WHERE clause under construction: constant fragments of SQL, their values bound in order. The tenant comes first. */
export class Conditions {
  private readonly fragments: string[] = ['r.tenant_id = $1'];
  private readonly bound: unknown[];
  private positions = 0;

  constructor(tenantId: string) {
    this.bound = [tenantId];
  }

  /** `fragment` is given the placeholder of `value`; it is constant text of this package, never a caller's. */
  add(value: unknown, fragment: (placeholder: string) => string): void {
    this.fragments.push(fragment(this.bind(value)));
  }

  /** A condition without a value. */
  addFixed(fragment: string): void {
    this.fragments.push(fragment);
  }

  /** A value outside the conditions, for example a limit. */
  bind(value: unknown): string {
    this.bound.push(value);
    return `$${this.bound.length}`;
  }

  /** Where a page goes on: no filter, for every page has one but the first. */
  addPosition(fragment: string): void {
    this.positions += 1;
    this.fragments.push(fragment);
  }

  /** Whether anything but the tenant is asked. */
  get isFiltered(): boolean {
    return this.fragments.length - this.positions > 1;
  }

  get sql(): string {
    return this.fragments.join(' AND ');
  }

  get values(): readonly unknown[] {
    return this.bound;
  }
}
