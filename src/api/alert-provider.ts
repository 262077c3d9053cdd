import { Type, type Static } from 'typebox'
import type { KubeObject } from '#api/objects.ts'

/** AlertProvider: where alerts go. Flagger's resource field by field; for `email` the address is `smtp://host:port` or `smtps://`, the channel its recipients. */

/** Flagger's five, then ours. */
export const ALERT_PROVIDER_TYPES = ['slack', 'msteams', 'discord', 'rocket', 'gchat', 'webhook', 'alertmanager', 'email'] as const
export type AlertProviderType = (typeof ALERT_PROVIDER_TYPES)[number]

export const AlertProviderSpec = Type.Object({
  type: Type.Enum([...ALERT_PROVIDER_TYPES]),
  channel: Type.Optional(Type.String({ description: '`general` when left out.' })),
  username: Type.Optional(Type.String({ description: '`flagger` when left out.' })),
  address: Type.Optional(Type.String({ description: 'URL of the incoming hook; better kept in a Secret.' })),
  proxy: Type.Optional(Type.String({ description: 'URL of an HTTP proxy.' })),
  secretRef: Type.Optional(Type.Object({ name: Type.String() }, { description: 'Secret with `address` and optionally `token`.' })),
})

export type AlertProviderSpec = Static<typeof AlertProviderSpec>
export type AlertProvider = KubeObject & { readonly spec: AlertProviderSpec }

/** One `@`, nothing that a header or an SMTP command could be built from. */
export const isMailAddress = (text: string): boolean => /^[^\s@<>,;:"()[\]\\]+@[^\s@<>,;:"()[\]\\]+$/.test(text)
