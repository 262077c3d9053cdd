/** Names that become parts of a path of the API server. */

const LABEL = '[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?'
const NAMESPACE = new RegExp(`^${LABEL}$`)
const NAME = new RegExp(String.raw`^(?=.{1,253}$)${LABEL}(?:\.${LABEL})*$`)

export const isNamespaceName = (text: string | undefined): text is string => text !== undefined && NAMESPACE.test(text)
export const isDnsName = (text: string | undefined): text is string => text !== undefined && NAME.test(text)
