# SPDX-License-Identifier: BSD-3-Clause
"""What steady reads saw beside the faults: how many were hits at nodes with a majority, and how soon they were after a heal."""

STEP_S = 0.05  # faultload's FAULTLOAD_BUCKET_MS
GRACE_S = 2.0  # so long after its last fault a node has to serve as if there had been none
LOOK_S = 2.5  # a heal tells something if no other fault is under way for so long before and behind it


class Seen:
    """The file that faultload --seen wrote, as steps of STEP_S with hits, misses and errors of each pair (asked, owner)."""

    def __init__(self, path, nodes, nvoters, faults, end):
        """nodes: as faultload was given them; the first nvoters of them are the voters."""
        self.n, self.nvoters, self.end = len(nodes), nvoters, end
        self.number = {node: i for i, node in enumerate(nodes)}
        self.faults = faults
        rows = []
        with open(path) as f:
            for line in f:
                words = line.split()
                if len(words) == 1 + self.n * self.n:
                    rows.append((float(words[0]) / 1e3, [tuple(map(int, w.split(","))) for w in words[1:]]))
        self.begun = rows[0][0] if rows else 0.0
        self.rows = rows
        for f in faults:
            f.ended = f.ended or end

    # -------------------------------------------------------------- who has a majority

    def trouble(self):
        """[row] of (nodes that are away, pairs that are cut), from a little before a fault to a little after it: what a
        read met is counted when its answer comes."""
        marks = [([0] * self.n, set()) for _ in self.rows]
        for f in self.faults:
            for at in range(self.row(f.begun - STEP_S), self.row(f.ended + 2 * STEP_S) + 1):
                for node in f.nodes:
                    marks[at][0][self.number[node]] = 1
                marks[at][1].update((self.number[a], self.number[b]) for a, b in f.pairs)
        return marks

    def row(self, when):
        """The first row that ends at that time or later."""
        low, high = 0, len(self.rows) - 1
        while low < high:
            mid = (low + high) // 2
            if self.rows[mid][0] < when:
                low = mid + 1
            else:
                high = mid
        return low

    def reached(self, mark):
        """[asked][owner] whether both are there, reach each other, and each reaches a majority."""
        away, cut = mark
        works = [[not (away[i] or away[j] or (i, j) in cut or (j, i) in cut) for j in range(self.n)] for i in range(self.n)]
        major = [sum(w[:self.nvoters]) * 2 > self.nvoters for w in works]
        return [[works[i][j] and major[i] and major[j] for j in range(self.n)] for i in range(self.n)]

    # -------------------------------------------------------------- figures

    def best(self, from_s, to_s):
        """(hits of all reads at nodes with a majority, what it could be): keys of nodes that are away, cut off or without a
        majority are nowhere else."""
        hits = reads = reachable = 0
        for (when, seen), mark in zip(self.rows, self.trouble()):
            if not from_s <= when <= to_s:
                continue
            reached = self.reached(mark)
            for i in (i for i in range(self.n) if any(reached[i])):
                for j in range(self.n):
                    hits += seen[i * self.n + j][0]
                    reads += sum(seen[i * self.n + j])
                    reachable += sum(seen[i * self.n + j]) if reached[i][j] else 0
        return hits / max(reads, 1), reachable / max(reads, 1)

    def ratios(self, from_s, to_s):
        """Hits of all reads at nodes with a majority of keys of such nodes, (all pairs, a node's own keys), each as they are
        and from GRACE_S after the last fault of the pair on."""
        good = [[0.0] * self.n for _ in range(self.n)]  # since when a pair has had no trouble
        counts = {name: [0, 0] for name in ("all", "own", "all_settled", "own_settled")}
        for (when, seen), mark in zip(self.rows, self.trouble()):
            reached = self.reached(mark)
            for i in range(self.n):
                for j in range(self.n):
                    if not reached[i][j]:
                        good[i][j] = when
                        continue
                    if not from_s <= when <= to_s:
                        continue
                    hits, reads = seen[i * self.n + j][0], sum(seen[i * self.n + j])
                    settled = when - good[i][j] > GRACE_S
                    for name in ["all", "own"][:1 + (i == j)]:
                        for kind in [name, name + "_settled"][:1 + settled]:
                            counts[kind][0] += hits
                            counts[kind][1] += reads
        return {name: hits / reads if reads else 1.0 for name, (hits, reads) in counts.items()}

    def recoveries(self, kinds):
        """After each end of such a fault that no other one is near: seconds until each pair that it broke has
        had hits again; LOOK_S if one had none."""
        took = []
        for f in self.faults:
            others = any(o is not f and o.begun < f.ended + LOOK_S and o.ended > f.ended - LOOK_S for o in self.faults)
            if f.kind not in kinds or f.ended + LOOK_S > self.end or others:
                continue
            broken = {(self.number[a], self.number[b]) for a, b in f.pairs}
            broken |= {(b, a) for a, b in broken} | {(i, i) for pair in broken for i in pair}
            for node in f.nodes:
                i = self.number[node]
                # A client's own connection through a pulled cable is no node's.
                broken |= {(j, i) for j in range(self.n) if f.kind != "cable" or j != i}
            worst, first = 0.0, self.row(f.ended + STEP_S)
            broken = {pair for pair in broken if max(pair) < self.nvoters}  # who else there is may be about to leave
            if not broken:
                continue
            for i, j in broken:
                back = next((self.rows[at][0] - f.ended for at in range(first, self.row(f.ended + LOOK_S))
                             if self.rows[at][1][i * self.n + j][0] > 0), LOOK_S)
                worst = max(worst, back)
            took.append((worst, f))
        return took
