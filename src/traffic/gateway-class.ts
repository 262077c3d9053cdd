import type { KubeObject, ObjectReader } from '#api/objects.ts'

/** What a Gateway's controller says that it can do. */

type Gateway = KubeObject & { readonly spec?: { readonly gatewayClassName?: string } }
/** A feature is an object with a name; before v1.1 of the API it was the name alone. */
type GatewayClass = KubeObject & { readonly status?: { readonly supportedFeatures?: readonly (string | { readonly name?: string })[] } }
type ParentRef = { readonly kind?: string; readonly name: string; readonly namespace?: string }

/**
 * The GatewayClass that lists its features and not this one, of the Gateways that a route is attached to. An unknown filter is no small thing: the rule stays
 * accepted and answers 500 to everybody, as the API asks of routers. A class that lists nothing is believed to know it.
 */
export function classWithout(feature: string, apiVersion: string, namespace: string, parents: readonly ParentRef[], objects: ObjectReader): string | undefined {
  for (const { kind = 'Gateway', name, namespace: of = namespace } of parents) {
    if (kind !== 'Gateway') continue
    const gateway = objects.get({ apiVersion, kind: 'Gateway', namespace: of, name }) as Gateway | undefined
    const className = gateway?.spec?.gatewayClassName
    if (className === undefined) continue
    const features = (objects.get({ apiVersion, kind: 'GatewayClass', name: className }) as GatewayClass | undefined)?.status?.supportedFeatures ?? []
    const names = features.map((each) => (typeof each === 'string' ? each : each.name))
    if (names.length > 0 && !names.includes(feature)) return className
  }
  return undefined
}
