"""Programs that read exports in other libraries; none of them imports Modelwright."""
