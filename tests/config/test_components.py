from __future__ import annotations

import pytest

from spine_ignite.config import load_config
from spine_ignite.config.components import require_components
from spine_ignite.errors import UsageError


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optimizer.name=lion", "there is no optimizer 'lion'. Installed: adam, adamw, nadam, sgd"),
        ("schedule.name=cosin", "there is no schedule 'cosin'. Did you mean 'cosine'?"),
        ("optimizer.options={beta: 1}", "options of optimizer 'adamw': there is no option 'beta'. Did you mean"),
        ("loss.name=dise", "there is no loss 'dise'. Did you mean 'dice'?"),
        ("loss.options={smoth: 1}", "options of loss 'dice_ce': there is no option 'smoth'. Did you mean 'smooth'?"),
        ("predict.postprocess=[level]", "there is no post-processing step 'level'. Did you mean 'levels'?"),
        ("model.name=unett", "there is no model 'unett'. Did you mean 'unet'?"),
    ],
)
def test_what_is_not_there_is_refused_before_anything_is_read(override: str, message: str) -> None:
    require_components(load_config(None))
    with pytest.raises(UsageError) as caught:
        require_components(load_config(None, [override]))
    assert message in str(caught.value)
