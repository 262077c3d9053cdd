/** Text that is equal for equal data, whatever the order of its keys. */
export const canonicalText = (value: unknown): string => JSON.stringify(value, (_, child: unknown) =>
  (typeof child === 'object' && child !== null && !Array.isArray(child)
    ? Object.fromEntries(Object.entries(child).sort(([a], [b]) => (a < b ? -1 : 1)))
    : child)) ?? ''
