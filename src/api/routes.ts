/** The split of live requests between primary and canary, in percent. */
export type Routes = {
  /** Percent of live requests, 0 to 100; `primary + canary` is 100. */
  readonly primary: number
  readonly canary: number
  /** Copies of live requests go to the canary, whose answers are thrown away. */
  readonly mirror: boolean
  /** Of the primary's part, percent of live requests that fresh pods of the same revision answer; none where left out. */
  readonly baseline?: number
}

export const ALL_TO_PRIMARY: Routes = { primary: 100, canary: 0, mirror: false }
export const routesTo = (canary: number, baseline = 0): Routes => ({ primary: 100 - canary, canary, mirror: false, ...(baseline > 0 ? { baseline } : {}) })
export const sameRoutes = (a: Routes, b: Routes): boolean =>
  a.primary === b.primary && a.canary === b.canary && a.mirror === b.mirror && (a.baseline ?? 0) === (b.baseline ?? 0)

/** As in `status.gate.routesFor`: `90/10`, `100/0+mirror`, `90/10+baseline10`. */
export const writeRoutes = ({ primary, canary, mirror, baseline = 0 }: Routes): string =>
  `${primary}/${canary}${mirror ? '+mirror' : ''}${baseline > 0 ? `+baseline${baseline}` : ''}`

/** Undefined for other words. */
export function readRoutes(text: string | undefined): Routes | undefined {
  const parts = /^(\d+)\/(\d+)(\+mirror)?(?:\+baseline(\d+))?$/.exec(text ?? '')
  if (!parts) return undefined
  const [, primary, canary, mirror, baseline] = parts
  return { primary: Number(primary), canary: Number(canary), mirror: mirror !== undefined, ...(baseline === undefined ? {} : { baseline: Number(baseline) }) }
}
