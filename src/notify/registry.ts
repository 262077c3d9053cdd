import { alertmanager } from '#notify/alertmanager.ts'
import { discord } from '#notify/discord.ts'
import { email } from '#notify/email.ts'
import { gchat } from '#notify/gchat.ts'
import { msteams } from '#notify/msteams.ts'
import type { NotifyProvider } from '#notify/provider.ts'
import { rocket } from '#notify/rocket.ts'
import { slack } from '#notify/slack.ts'
import { webhook } from '#notify/webhook.ts'

/** Every kind of receiver; a new one is a file and a line here. */
export const NOTIFY_PROVIDERS: readonly NotifyProvider[] = [slack, msteams, discord, rocket, gchat, webhook, alertmanager, email]

export const notifyProvider = (type: string): NotifyProvider | undefined => NOTIFY_PROVIDERS.find((known) => known.type === type)
