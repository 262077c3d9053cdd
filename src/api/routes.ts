/** The split of live requests between primary and canary, in percent. */
export type Routes = {
  /** Percent of live requests, 0 to 100; `primary + canary` is 100. */
  readonly primary: number
  readonly canary: number
  /** Copies of live requests go to the canary, whose answers are thrown away. */
  readonly mirror: boolean
}

export const ALL_TO_PRIMARY: Routes = { primary: 100, canary: 0, mirror: false }
export const routesTo = (canary: number): Routes => ({ primary: 100 - canary, canary, mirror: false })
export const sameRoutes = (a: Routes, b: Routes): boolean => a.primary === b.primary && a.canary === b.canary && a.mirror === b.mirror
