/**
 * What an operation may cost: an estimate, before anything runs, of how many objects it asks for.
 * A root field counts as many as a small list; an object inside counts once for every row of the
 * pages around it. So neither a thousand aliases nor nested large pages get through.
 */
import {
  type DocumentNode,
  type FieldNode,
  type FragmentDefinitionNode,
  GraphQLError,
  Kind,
  type OperationDefinitionNode,
  type SelectionSetNode,
} from 'graphql';

/** Each root field is at least a query of its own. */
const ROOT_FIELD_COST = 500;

const PAGE_ARGUMENTS = new Set(['first', 'last', 'limit']);

type Variables = Readonly<Record<string, unknown>>;

class Estimate {
  readonly #fragments: ReadonlyMap<string, FragmentDefinitionNode>;
  readonly #variables: Variables;
  readonly #defaults = new Map<string, number>();
  /** What a fragment costs in one object; fragments that contain themselves are another rule's error. */
  readonly #costs = new Map<string, number>();

  constructor(document: DocumentNode, variables: Variables) {
    this.#fragments = new Map(
      document.definitions.flatMap((definition) =>
        definition.kind === Kind.FRAGMENT_DEFINITION ? [[definition.name.value, definition]] : [],
      ),
    );
    this.#variables = variables;
  }

  of(operation: OperationDefinitionNode): number {
    for (const { variable, defaultValue } of operation.variableDefinitions ?? []) {
      if (defaultValue?.kind === Kind.INT) {
        this.#defaults.set(variable.name.value, Number(defaultValue.value));
      }
    }
    return this.#selections(
      operation.selectionSet,
      (field) => ROOT_FIELD_COST + this.#field(field),
    );
  }

  #rows(field: FieldNode): number {
    let rows = 1;
    for (const { name, value } of field.arguments ?? []) {
      if (!PAGE_ARGUMENTS.has(name.value)) continue;
      const given =
        value.kind === Kind.VARIABLE
          ? (this.#variables[value.name.value] ?? this.#defaults.get(value.name.value))
          : value.kind === Kind.INT && Number(value.value);
      // What is no number is refused when variables are read.
      if (typeof given === 'number' && given > rows) rows = given;
    }
    return rows;
  }

  #field = (field: FieldNode): number => {
    if (!field.selectionSet) return 0;
    return this.#rows(field) * (1 + this.#selections(field.selectionSet, this.#field));
  };

  #selections(set: SelectionSetNode, each: (field: FieldNode) => number): number {
    let cost = 0;
    for (const selection of set.selections) {
      if (selection.kind === Kind.FIELD) cost += each(selection);
      else if (selection.kind === Kind.INLINE_FRAGMENT) {
        cost += this.#selections(selection.selectionSet, each);
      } else cost += this.#fragment(selection.name.value, each);
    }
    return cost;
  }

  #fragment(name: string, each: (field: FieldNode) => number): number {
    const key = `${each === this.#field ? '' : 'root '}${name}`;
    const known = this.#costs.get(key);
    if (known !== undefined) return known;
    const fragment = this.#fragments.get(name);
    this.#costs.set(key, 0);
    const cost = fragment ? this.#selections(fragment.selectionSet, each) : 0;
    this.#costs.set(key, cost);
    return cost;
  }
}

/** The estimate for one operation of a valid document. */
export const operationCost = (
  document: DocumentNode,
  operation: OperationDefinitionNode,
  variables: Variables,
): number => new Estimate(document, variables).of(operation);

/** The refusal of an operation that costs too much; null when it may run. */
export function refusedForCost(
  document: DocumentNode,
  operation: OperationDefinitionNode | null | undefined,
  variables: Variables,
  maxCost: number,
): GraphQLError | null {
  if (!operation) return null;
  const cost = operationCost(document, operation, variables);
  if (cost <= maxCost) return null;
  return new GraphQLError(
    `The query asks for too much at once: it costs ${cost}, and at most ${maxCost} is allowed. ` +
      'Ask for fewer fields or smaller pages.',
  );
}
