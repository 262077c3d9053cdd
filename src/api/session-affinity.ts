import type { CanarySpec } from '#api/canary.ts'

/** `name=value`, as in Flagger's status. */
export type SessionCookies = { readonly canary: string; readonly primary: string | undefined }

/** The cookies that keep a client on the arm which answered it first; their value is the revision under analysis. Undefined when not asked for. */
export function sessionCookies({ analysis: { sessionAffinity } }: CanarySpec, revision: string): SessionCookies | undefined {
  if (!sessionAffinity) return undefined
  const { cookieName, primaryCookieName } = sessionAffinity
  return { canary: `${cookieName}=${revision}`, primary: primaryCookieName ? `${primaryCookieName}=${revision}` : undefined }
}
