import { getMetadataStorage, ValidationTypes } from 'class-validator';

type Class = new () => object;
type Metadata = ReturnType<ReturnType<typeof getMetadataStorage>['getTargetValidationMetadatas']>[number];
/** Whether a value keeps a rule for certain; `object` is what it is a member of. */
type Check = (value: unknown, object: object) => boolean;

interface Property {
  readonly name: string;
  /** Where one of them says no, the property isn't checked. */
  readonly conditions: readonly Check[];
  readonly checks: readonly Check[];
}

/**
 * Whether the instance certainly keeps every rule of its class: class-validator's own rules, collected once per class. It
 * collects them anew for each object, and looks each of them up among those of all classes: nine tenths of what taking a
 * call costs. False says nothing: then it has to judge, as it does of lists and of nested objects anyway.
 */
export function keepsRules(type: Class, instance: object): boolean {
  const properties = propertiesOf(type);
  for (const key of Object.keys(instance)) if (!properties.has(key)) return false;
  for (const { name, conditions, checks } of properties.values()) {
    const value: unknown = Reflect.get(instance, name);
    if (!conditions.every((holds) => holds(value, instance))) continue;
    for (const keeps of checks) if (!keeps(value, instance)) return false;
  }
  return properties.size > 0;
}

/** Whether the class has a rule for the member. */
export const hasRuleFor = (type: Class, key: string): boolean => propertiesOf(type).has(key);

const known = new WeakMap<Class, ReadonlyMap<string, Property>>();

function propertiesOf(type: Class): ReadonlyMap<string, Property> {
  let properties = known.get(type);
  if (properties === undefined) known.set(type, (properties = collect(type)));
  return properties;
}

function collect(type: Class): ReadonlyMap<string, Property> {
  const byName = new Map<string, { name: string; conditions: Check[]; checks: Check[] }>();
  for (const metadata of getMetadataStorage().getTargetValidationMetadatas(type, '', false, false)) {
    const { propertyName: name } = metadata;
    const property = byName.get(name) ?? { name, conditions: [], checks: [] };
    byName.set(name, property);
    if (metadata.type === ValidationTypes.CONDITIONAL_VALIDATION) property.conditions.push(conditionOf(metadata));
    else property.checks.push(...checksOf(metadata, type.name));
  }
  return byName;
}

const conditionOf = ({ constraints }: Metadata): Check => {
  const condition = constraints[0] as (object: object, value: unknown) => boolean;
  return (value, object) => condition(object, value);
};

function checksOf(metadata: Metadata, targetName: string): readonly Check[] {
  const { propertyName: property, constraints, each, constraintCls } = metadata;
  if (metadata.type !== ValidationTypes.CUSTOM_VALIDATION)
    return [(value) => value === undefined && metadata.type === ValidationTypes.NESTED_VALIDATION];
  return getMetadataStorage()
    .getTargetValidatorConstraints(constraintCls)
    .map(({ instance }): Check => {
      return (value, object) => {
        if (each && typeof value === 'object') return false;
        return instance.validate(value, { targetName, property, object, value, constraints }) === true;
      };
    });
}
