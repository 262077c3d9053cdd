import type { Canary, CanaryService } from '#api/canary.ts'
import { parseDuration } from '#api/duration.ts'

export type Filter = { readonly type: string; readonly [field: string]: unknown }
export type BackendRef = { readonly group: string; readonly kind: string; readonly name: string; readonly namespace?: string; readonly port?: number }

export const serviceRef = (name: string, port: number): BackendRef => ({ group: '', kind: 'Service', name, port })

/** What `spec.service` asks to be done with each request, as filters of a rule. */
export function serviceFilters(canary: Canary): readonly Filter[] {
  const service = canary.spec.service
  return [...headerFilters(service), ...rewriteFilters(service), ...staticMirrors(service), ...corsFilters(service)]
}

export const mirrorTo = (backendRef: BackendRef): Filter => ({ type: 'RequestMirror', requestMirror: { backendRef } })
export const isMirrorTo = (filter: Filter, name: string): boolean =>
  filter.type === 'RequestMirror' && (filter['requestMirror'] as { readonly backendRef?: { readonly name?: string } } | undefined)?.backendRef?.name === name

type Operations = NonNullable<NonNullable<CanaryService['headers']>['request']>
const pairs = (map: Readonly<Record<string, string>> | undefined) => Object.entries(map ?? {}).map(([name, value]) => ({ name, value }))

function headerFilters(service: CanaryService | undefined): readonly Filter[] {
  const modifier = ({ add, set, remove }: Operations) => ({
    ...(add ? { add: pairs(add) } : {}), ...(set ? { set: pairs(set) } : {}), ...(remove?.length ? { remove } : {}),
  })
  const { request, response } = service?.headers ?? {}
  return [
    ...(request ? [{ type: 'RequestHeaderModifier', requestHeaderModifier: modifier(request) }] : []),
    ...(response ? [{ type: 'ResponseHeaderModifier', responseHeaderModifier: modifier(response) }] : []),
  ]
}

function rewriteFilters(service: CanaryService | undefined): readonly Filter[] {
  const { uri, authority, type } = service?.rewrite ?? {}
  if (uri === undefined && authority === undefined) return []
  const path = type === 'ReplacePrefixMatch'
    ? { type, replacePrefixMatch: uri }
    : { type: 'ReplaceFullPath', replaceFullPath: uri }
  return [{ type: 'URLRewrite', urlRewrite: { ...(authority === undefined ? {} : { hostname: authority }), ...(uri === undefined ? {} : { path }) } }]
}

function staticMirrors(service: CanaryService | undefined): readonly Filter[] {
  return (service?.mirror ?? []).flatMap(({ backendRef }) => (backendRef ? [mirrorTo({ group: '', kind: 'Service', ...backendRef })] : []))
}

type CorsPolicy = {
  readonly allowOrigin?: readonly string[]
  readonly allowOrigins?: readonly { readonly exact?: string }[]
  readonly allowCredentials?: boolean
  readonly allowMethods?: readonly string[]
  readonly allowHeaders?: readonly string[]
  readonly exposeHeaders?: readonly string[]
  readonly maxAge?: string
}

/** The API server's default, in seconds. */
const DEFAULT_CORS_MAX_AGE = 5

/** Istio's policy in Gateway API's words. Origins by prefix or regex cannot be said there. */
function corsFilters(service: CanaryService | undefined): readonly Filter[] {
  const policy = service?.corsPolicy as CorsPolicy | undefined
  if (!policy) return []
  const origins = [...(policy.allowOrigin ?? []), ...(policy.allowOrigins ?? []).flatMap(({ exact }) => (exact === undefined ? [] : [exact]))]
  // Istio writes a duration, Gateway API seconds.
  const maxAgeMs = parseDuration(String(policy.maxAge ?? ''))
  return [{
    type: 'CORS',
    cors: {
      ...(origins.length > 0 ? { allowOrigins: origins } : {}),
      ...(policy.allowCredentials === undefined ? {} : { allowCredentials: policy.allowCredentials }),
      ...(policy.allowMethods?.length ? { allowMethods: policy.allowMethods } : {}),
      ...(policy.allowHeaders?.length ? { allowHeaders: policy.allowHeaders } : {}),
      ...(policy.exposeHeaders?.length ? { exposeHeaders: policy.exposeHeaders } : {}),
      maxAge: maxAgeMs === undefined || maxAgeMs < 1_000 ? DEFAULT_CORS_MAX_AGE : Math.floor(maxAgeMs / 1_000),
    },
  }]
}
