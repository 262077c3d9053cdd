import { isDict } from './values.ts'

/** `a=b,c!=d,e in (f,g),h notin (i),j,!k` against labels. */
export function matchesLabels(selector: string | undefined, labels: Readonly<Record<string, string>> = {}): boolean {
  if (!selector) return true
  return selector.split(/,(?![^(]*\))/).every((part) => matchesOne(part.trim(), labels))
}

function matchesOne(part: string, labels: Readonly<Record<string, string>>): boolean {
  const set = /^(\S+)\s+(in|notin)\s+\(([^)]*)\)$/.exec(part)
  if (set) {
    const values = (set[3] ?? '').split(',').map((value) => value.trim())
    const value = labels[set[1] ?? '']
    return set[2] === 'in' ? value !== undefined && values.includes(value) : value === undefined || !values.includes(value)
  }
  const [, key = '', operator, value] = /^([^=!]+?)\s*(!=|==?)\s*(.*)$/.exec(part) ?? []
  if (operator) return operator === '!=' ? labels[key] !== value : labels[key] === value
  return part.startsWith('!') ? labels[part.slice(1)] === undefined : labels[part] !== undefined
}

/** `metadata.name=a,involvedObject.kind!=b`. */
export function matchesFields(selector: string | undefined, object: unknown): boolean {
  if (!selector) return true
  return selector.split(',').every((part) => {
    const [, path = '', operator, value] = /^([^=!]+)(!=|==?)(.*)$/.exec(part) ?? []
    const found = path.split('.').reduce<unknown>((at, key) => (isDict(at) ? at[key] : undefined), object)
    return (String(found ?? '') === value) === (operator !== '!=')
  })
}

/** `{matchLabels, matchExpressions}`, or a Service's plain map, against a pod's labels. */
export function selects(matchLabels: Readonly<Record<string, string>> | undefined, labels: Readonly<Record<string, string>> = {}): boolean {
  const wanted = Object.entries(matchLabels ?? {})
  return wanted.length > 0 && wanted.every(([key, value]) => labels[key] === value)
}
