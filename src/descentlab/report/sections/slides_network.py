"""The slides' table of a network's parameters beside what Keras counts."""

from __future__ import annotations

from descentlab.i18n.wording import words
from descentlab.report.blocks import Evidence, Section, Table

# As the slide "Cuenta de parámetros" prints them; its other layers have none.
ON_THE_SLIDE = {"c1": 320, "c2": 18_496, "fc1": 295_424, "fc2": 5_130}


def slides_network(evidence: Evidence) -> Section | None:
    """A row for each layer and the total; None where the network was not measured."""
    layers = evidence.measurement("slides_network")
    if layers.empty:
        return None
    rows = [
        [
            row["layer"],
            row["kind"],
            row["output_shape"],
            f"{row['parameters']:,}",
            f"{ON_THE_SLIDE.get(row['layer'], 0):,}",
        ]
        for row in layers.to_dict("records")
    ]
    total, expected = int(layers["parameters"].sum()), sum(ON_THE_SLIDE.values())
    rows.append([words("total"), "", "", f"{total:,}", f"{expected:,}"])
    differ = [row[0] for row in rows if row[3] != row[4]]
    title = (
        words("Keras counts {total:,} parameters; other than on the slide: {rows}", total=total, rows=", ".join(differ))
        if differ
        else words("Keras counts {total:,} parameters, layer by layer as many as the slide", total=total)
    )
    headers = [words("layer"), words("type"), words("output shape"), words("parameters"), words("on the slide")]
    table = Table("slides-network", title, headers, rows, data=layers, numeric=frozenset({3, 4}))
    return Section("slides-network", words("The slides' network"), [table])
